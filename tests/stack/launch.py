"""Starts MiniStack 1.5.33 with two departures from AWS mended and the functions' logs kept in files.

All three fail loudly should a newer MiniStack not have their place.
"""

import os

from ministack.app import main
from ministack.core import iam_actions
from ministack.services import lambda_svc

# `s3:ExistingObjectTag` is known to the tagging actions too, not to reads only; without it the second statement of the scanned
# bucket's policy would never match.
TAGGING = {f"s3:{verb}Object{version}Tagging" for verb in ("Put", "Delete") for version in ("", "Version")}
context_of_reads = iam_actions.s3_service_context


def s3_service_context(iam_action, query_params, path="", headers=None):
    if iam_action in TAGGING:
        return iam_actions._s3_object_context(iam_action, query_params or {}, path, headers or {})
    return context_of_reads(iam_action, query_params, path, headers)


iam_actions.s3_service_context = s3_service_context

# A number that comes from a template's parameter stays a string, which its poller then cannot compare.
concurrency_of_numbers = lambda_svc._sqs_esm_concurrency


def sqs_esm_concurrency(esm, *rest):
    scaling = {name: int(value) for name, value in (esm.get("ScalingConfig") or {}).items()}
    return concurrency_of_numbers({**esm, "ScalingConfig": scaling}, *rest)


lambda_svc._sqs_esm_concurrency = sqs_esm_concurrency

# What a function logs goes to CloudWatch Logs, which few look into here, and only of some invocations to MiniStack's own log.
directory = os.environ.pop("FUNCTION_LOGS")
emit_to_cloudwatch = lambda_svc._emit_lambda_logs


def emit_lambda_logs(func, request_id, log_text, error, duration_ms, **rest):
    name = (func.get("config") or func)["FunctionName"]
    with open(f"{directory}/{name}.log", "a") as log:
        outcome = "failed" if error else "done"
        log.write(f"{log_text.rstrip()}\n-- {request_id} {outcome} in {duration_ms} ms\n")
    emit_to_cloudwatch(func, request_id, log_text, error, duration_ms, **rest)


lambda_svc._emit_lambda_logs = emit_lambda_logs

main()
