// Builds before `serverless package` and `serverless deploy` look for the artifacts.
const { execFileSync } = require('node:child_process');

module.exports = class LambdaBuild {
  constructor(serverless) {
    this.hooks = {
      'before:package:initialize': () => {
        try {
          execFileSync('lambda-build', ['../service', '--quiet'], {
            stdio: ['ignore', 'inherit', 'pipe'],
          });
        } catch (error) {
          throw new serverless.classes.Error(String(error.stderr ?? error.message), 'LAMBDA_BUILD');
        }
      },
    };
  }
};
