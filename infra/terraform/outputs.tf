output "stack_id" {
  description = "ARN of the stack"
  value       = aws_cloudformation_stack.nacre.id
}

output "outputs" {
  description = "The template's outputs, such as ScannedBucket"
  value       = aws_cloudformation_stack.nacre.outputs
}
