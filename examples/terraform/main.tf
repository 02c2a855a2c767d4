# A function and its layer. Each data source builds, and has all that the resource needs to know.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
    external = {
      source  = "hashicorp/external"
      version = ">= 2.3"
    }
  }
}

data "external" "api" {
  program = ["lambda-build", "terraform"]
  query = {
    project  = "${path.module}/../service"
    artifact = "api"
  }
}

data "external" "deps" {
  program = ["lambda-build", "terraform"]
  query = {
    project  = "${path.module}/../service"
    artifact = "deps"
  }
}

resource "aws_lambda_layer_version" "deps" {
  layer_name               = "deps"
  filename                 = data.external.deps.result.filename
  source_code_hash         = data.external.deps.result.source_code_hash
  compatible_runtimes      = [data.external.deps.result.runtime]
  compatible_architectures = [data.external.deps.result.architecture]
}

resource "aws_iam_role" "api" {
  name = "api"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_lambda_function" "api" {
  function_name    = "api"
  role             = aws_iam_role.api.arn
  filename         = data.external.api.result.filename
  source_code_hash = data.external.api.result.source_code_hash
  handler          = data.external.api.result.handler
  runtime          = data.external.api.result.runtime
  architectures    = [data.external.api.result.architecture]
  layers           = [aws_lambda_layer_version.deps.arn]
}

# The same through a module that many use.
module "api" {
  source  = "terraform-aws-modules/lambda/aws"
  version = ">= 7.0"

  function_name          = "api-of-module"
  handler                = data.external.api.result.handler
  runtime                = data.external.api.result.runtime
  architectures          = [data.external.api.result.architecture]
  layers                 = [aws_lambda_layer_version.deps.arn]
  create_package         = false
  local_existing_package = data.external.api.result.filename
}
