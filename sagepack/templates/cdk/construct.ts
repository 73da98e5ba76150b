import * as cdk from 'aws-cdk-lib';
import { CfnScalableTarget } from 'aws-cdk-lib/aws-applicationautoscaling';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct, IConstruct } from 'constructs';
import { sagemaker_deployment as sagemaker } from '@cdklabs/generative-ai-cdk-constructs';
import { Resource, Value, template } from './template';

/** The construct knows images by tag alone. */
class ImageByDigest extends sagemaker.ContainerImage {
  constructor(private readonly uri: string) {
    super();
  }

  bind(_scope: Construct, _grantable: iam.IGrantable): sagemaker.ContainerImageConfig {
    return { imageName: this.uri };
  }
}

/** CustomSageMakerEndpoint, with an override for each value that it cannot say. */
export class ConstructStack extends cdk.Stack {
  readonly endpoint: sagemaker.CustomSageMakerEndpoint;

  constructor(scope: Construct, id: string, props: cdk.StackProps) {
    super(scope, id, props);
    const { Role, Model, EndpointConfig, Endpoint, ScalableTarget, ...others } = template.Resources;
    const [variant] = EndpointConfig.Properties.ProductionVariants;
    const { ClientConfig, OutputConfig } = EndpointConfig.Properties.AsyncInferenceConfig;
    const container = Model.Properties.PrimaryContainer;
    const pools: Value[] = variant.InstancePools ?? [];

    this.addSwitch();
    if (Role) {
      this.addAsItIs('Role', Role);
    }
    const roleArn = Role ? cdk.Fn.getAtt('Role', 'Arn').toString() : Model.Properties.ExecutionRoleArn;

    const endpoint = new sagemaker.CustomSageMakerEndpoint(this, 'SageMaker', {
      modelId: Endpoint.Properties.EndpointName,
      endpointName: Endpoint.Properties.EndpointName,
      instanceType: sagemaker.SageMakerInstanceType.of(variant.InstanceType ?? pools[0].InstanceType),
      container: new ImageByDigest(container.Image),
      modelDataUrl: container.ModelDataSource.S3DataSource.S3Uri,
      minCapacity: ScalableTarget?.Properties.MinCapacity,
      maxCapacity: ScalableTarget?.Properties.MaxCapacity,
      instanceCount: variant.InitialInstanceCount,
      // The construct takes only a Role, and would give the one that it gets further rights.
      role: iam.Role.fromRoleArn(this, 'ExecutionRole', roleArn, { mutable: false }) as iam.Role,
      environment: container.Environment,
      startupHealthCheckTimeoutInSeconds: variant.ContainerStartupHealthCheckTimeoutInSeconds,
      modelDataDownloadTimeoutInSeconds: variant.ModelDataDownloadTimeoutInSeconds,
      volumeSizeInGb: variant.VolumeSizeInGB,
      vpcConfig: Model.Properties.VpcConfig && {
        subnets: Model.Properties.VpcConfig.Subnets,
        securityGroupIds: Model.Properties.VpcConfig.SecurityGroupIds,
      },
      asyncInference: {
        outputPath: OutputConfig.S3OutputPath,
        failurePath: OutputConfig.S3FailurePath,
        maxConcurrentInvocationsPerInstance: ClientConfig.MaxConcurrentInvocationsPerInstance,
      },
    });
    this.endpoint = endpoint;
    const { cfnModel, cfnEndpointConfig, cfnEndpoint } = endpoint;
    cfnModel.overrideLogicalId('Model');
    cfnEndpointConfig.overrideLogicalId('EndpointConfig');
    cfnEndpoint.overrideLogicalId('Endpoint');

    // It puts an id of its own usage into the description.
    this.templateOptions.description = template.Description;

    // It adds a variable to the container.
    cfnModel.addPropertyDeletionOverride('PrimaryContainer.Environment.SAGEMAKER_REGION');
    override(cfnModel, Model, 'EnableNetworkIsolation');

    // It takes one instance type, and no image of the host.
    const ofVariant = 'ProductionVariants.0';
    if (pools.length > 0) {
      cfnEndpointConfig.addPropertyDeletionOverride(`${ofVariant}.InstanceType`);
    }
    for (const name of ['InstancePools', 'VariantInstanceProvisionTimeoutInSeconds', 'InferenceAmiVersion']) {
      if (variant[name] !== undefined) {
        cfnEndpointConfig.addPropertyOverride(`${ofVariant}.${name}`, variant[name]);
      }
    }
    // It takes no keys and no settings of metrics.
    override(cfnEndpointConfig, EndpointConfig, 'KmsKeyId', 'MetricsConfig');
    if (OutputConfig.KmsKeyId !== undefined) {
      cfnEndpointConfig.addPropertyOverride('AsyncInferenceConfig.OutputConfig.KmsKeyId', OutputConfig.KmsKeyId);
    }
    // It always makes two topics, with names that two stacks of an account cannot both have.
    const notifications = 'AsyncInferenceConfig.OutputConfig.NotificationConfig';
    for (const topic of ['success-topic-SageMaker', 'failure-topic-SageMaker']) {
      remove(endpoint, topic);
      remove(endpoint, `aws-managed-key-${topic}`);
    }
    cfnEndpointConfig.addPropertyDeletionOverride(notifications);
    if (OutputConfig.NotificationConfig !== undefined) {
      for (const [name, topic] of Object.entries(OutputConfig.NotificationConfig)) {
        cfnEndpointConfig.addPropertyOverride(`${notifications}.${name}`, topic);
      }
    }

    // An update would set the number of instances back, and would know no guardrails.
    override(
      cfnEndpoint,
      Endpoint,
      'RetainAllVariantProperties',
      'ExcludeRetainedVariantProperties',
      'DeploymentConfig',
    );
    if (Endpoint.DependsOn !== undefined) {
      cfnEndpoint.addOverride('DependsOn', ['EndpointConfig', ...Endpoint.DependsOn]);
    }

    // Its policy cannot wake an endpoint that has no instances, and its alarms look at dimensions that get no data.
    remove(endpoint, 'ScalingPolicy');
    const target = endpoint.node.findChild('ScalableTarget');
    if (ScalableTarget) {
      const cfnTarget = target.node.defaultChild as CfnScalableTarget;
      cfnTarget.overrideLogicalId('ScalableTarget');
      cfnTarget.addOverride('Condition', ScalableTarget.Condition);
      // AWS scales with its service-linked role.
      cfnTarget.addPropertyDeletionOverride('RoleARN');
      remove(target, 'Role');
      override(cfnTarget, ScalableTarget, 'SuspendedState', 'ScheduledActions');
    } else {
      remove(endpoint, 'ScalableTarget');
    }

    // Scaling policies, alarms and the log group: nothing of the construct makes them.
    for (const [logicalId, resource] of Object.entries(others)) {
      this.addAsItIs(logicalId, resource);
    }
    // It tags some of them with modelId, which may be one tag more than SageMaker allows.
    const tags: Value[] = Model.Properties.Tags;
    for (const resource of [cfnModel, cfnEndpointConfig, cfnEndpoint]) {
      if (!tags.some(({ Key }) => Key === 'modelId')) {
        cdk.Tags.of(resource).remove('modelId');
      }
      for (const { Key, Value: value } of tags) {
        cdk.Tags.of(resource).add(Key, value);
      }
    }

    new cdk.CfnOutput(this, 'EndpointName', { value: cfnEndpoint.attrEndpointName });
    new cdk.CfnOutput(this, 'EndpointArn', { value: cfnEndpoint.ref });
  }

  /** The parameter that takes automatic scaling away while the instance type changes. */
  private addSwitch(): void {
    const parameter = template.Parameters?.AutoScaling;
    if (parameter === undefined) {
      return;
    }
    const { Type, Default, AllowedValues, Description } = parameter;
    const autoScaling = new cdk.CfnParameter(this, 'AutoScaling', {
      type: Type,
      default: Default,
      allowedValues: AllowedValues,
      description: Description,
    });
    new cdk.CfnCondition(this, 'AutoScaled', {
      expression: cdk.Fn.conditionEquals(autoScaling.valueAsString, 'Enabled'),
    });
  }

  private addAsItIs(logicalId: string, resource: Resource): void {
    const added = new cdk.CfnResource(this, logicalId, { type: resource.Type, properties: resource.Properties });
    added.overrideLogicalId(logicalId);
    for (const attribute of ['Condition', 'DeletionPolicy', 'UpdateReplacePolicy'] as const) {
      if (resource[attribute] !== undefined) {
        added.addOverride(attribute, resource[attribute]);
      }
    }
  }
}

/** Set properties to what the template says of them, where it says something. */
function override(resource: cdk.CfnResource, { Properties }: Resource, ...names: string[]): void {
  for (const name of names) {
    if (Properties[name] !== undefined) {
      resource.addPropertyOverride(name, Properties[name]);
    }
  }
}

/** Take a part out of a construct. Another version of it may have it elsewhere, which has to be noticed. */
function remove(construct: IConstruct, id: string): void {
  if (!construct.node.tryRemoveChild(id)) {
    throw new Error(`${construct.node.path} has no ${id}: this app is written for another version of the construct`);
  }
}
