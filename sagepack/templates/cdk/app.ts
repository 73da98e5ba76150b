import * as cdk from 'aws-cdk-lib';
import { ConstructStack } from './construct';
import { IncludeStack } from './include';

// account, region, stack and variant stand in cdk.json; `cdk deploy -c variant=include` takes the other stack.
const app = new cdk.App();
const get = (name: string): string => app.node.getContext(name);
const variants: Record<string, typeof ConstructStack | typeof IncludeStack> = {
  construct: ConstructStack, // CustomSageMakerEndpoint of the generative AI constructs, with overrides
  include: IncludeStack, // the template as it is
};
const Variant = variants[get('variant')];
if (Variant === undefined) {
  throw new Error(`there is no variant ${get('variant')}: choose one of ${Object.keys(variants).join(', ')}`);
}
new Variant(app, get('stack'), {
  env: { account: get('account'), region: get('region') },
  // Nothing is uploaded, so the account need not be bootstrapped.
  synthesizer: new cdk.BootstraplessSynthesizer(),
});
