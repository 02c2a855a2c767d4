import { execFileSync } from 'node:child_process';
import * as path from 'node:path';
import * as cdk from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/** Builds one artifact of a project into the folder that CDK gives. */
class LambdaBuild implements cdk.ILocalBundling {
  constructor(private readonly project: string, private readonly artifact: string) {}

  tryBundle(outputDir: string): boolean {
    const output = path.join(outputDir, `${this.artifact}.zip`);
    execFileSync('lambda-build', [
      this.project, '--artifact', this.artifact, '--output', output, '--quiet',
    ], { stdio: ['ignore', 'inherit', 'inherit'] });
    return true;
  }
}

const app = new cdk.App();
const stack = new cdk.Stack(app, 'ServiceStack');

// The shorter way: a command, and the zip that it writes.
const code = lambda.Code.fromCustomCommand('../service/dist/api.zip', [
  'lambda-build', '../service', '--artifact', 'api', '--quiet',
]);

// The way that CDK skips for `cdk list` and `cdk destroy`. The image is never pulled.
const deps = new lambda.LayerVersion(stack, 'Deps', {
  code: lambda.Code.fromAsset('../service', {
    assetHashType: cdk.AssetHashType.OUTPUT,
    bundling: {
      image: cdk.DockerImage.fromRegistry('not-used'),
      local: new LambdaBuild('../service', 'deps'),
      outputType: cdk.BundlingOutput.ARCHIVED,
    },
  }),
  compatibleRuntimes: [lambda.Runtime.PYTHON_3_13],
});

new lambda.Function(stack, 'Api', {
  code,
  handler: 'index.handler',
  runtime: lambda.Runtime.PYTHON_3_13,
  architecture: lambda.Architecture.ARM_64,
  layers: [deps],
});
