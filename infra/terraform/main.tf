# Nacre by Terraform: the released template as one CloudFormation stack, with the released packages. What the template has is declared
# there and nowhere else; its parameters are this module's `parameters`.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  # The template's parameter that names each package's key.
  packages = {
    UpdaterCodeKey   = "updater.zip"
    ScannerCodeKey   = "scanner.zip"
    RescannerCodeKey = "rescanner.zip"
  }
}

data "aws_s3_bucket" "artifacts" {
  bucket = var.artifacts_bucket
}

# Each under its content's digest: a function is updated only when its key changes, and a key's content never does.
resource "aws_s3_object" "package" {
  for_each = local.packages

  bucket = data.aws_s3_bucket.artifacts.id
  key    = "nacre/${filesha256("${var.release_directory}/${each.value}")}.zip"
  source = "${var.release_directory}/${each.value}"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_s3_object" "template" {
  bucket = data.aws_s3_bucket.artifacts.id
  key    = "nacre/${filesha256("${var.release_directory}/template.yaml")}.yaml"
  source = "${var.release_directory}/template.yaml"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "nacre" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.artifacts.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  tags         = var.tags

  parameters = merge(
    var.parameters,
    { CodeBucket = data.aws_s3_bucket.artifacts.id },
    { for parameter, package in aws_s3_object.package : parameter => package.key },
  )

  # The stack's own first update of definitions is part of its creation.
  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}
