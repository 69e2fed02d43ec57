variable "release_directory" {
  description = "Directory of an unpacked release: template.yaml, updater.zip, scanner.zip, rescanner.zip"
  type        = string
}

variable "artifacts_bucket" {
  description = "Bucket of this account and region that packages and template are uploaded to"
  type        = string
}

variable "name" {
  description = "Name of the stack"
  type        = string
  default     = "nacre"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,127}$", var.name))
    error_message = "A stack's name begins with a letter, and has letters, digits and hyphens, 128 at most."
  }
}

variable "parameters" {
  description = "Parameters of the template, such as { AlertEmail = \"security@example.com\" }"
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.parameters), ["CodeBucket", "UpdaterCodeKey", "ScannerCodeKey", "RescannerCodeKey"])) == 0
    error_message = "CodeBucket and the keys of packages are set by this module."
  }
}

variable "tags" {
  description = "Tags of the stack and of all that it has"
  type        = map(string)
  default     = {}
}
