import * as cdk from 'aws-cdk-lib';
import { CfnEndpoint } from 'aws-cdk-lib/aws-sagemaker';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { Construct } from 'constructs';
import { templateFile } from './template';

/** The template as it is: every value, and nothing else. */
export class IncludeStack extends cdk.Stack {
  readonly endpoint: CfnEndpoint;

  constructor(scope: Construct, id: string, props: cdk.StackProps) {
    super(scope, id, props);
    const included = new CfnInclude(this, 'Template', { templateFile });
    this.endpoint = included.getResource('Endpoint') as CfnEndpoint;
  }
}
