"""Starts MiniStack 1.5.33 with eleven departures from AWS mended, calls that count as made by TLS, a table that can be throttled, and the
functions' logs and all calls kept in files.

All of them fail loudly should a newer MiniStack not have their place.
"""

import functools
import json
import os
import re

from ministack.app import main
from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import cloudformation, cloudwatch, dynamodb, lambda_svc, s3, sns, sqs
from ministack.services.cloudformation import provisioners

# `s3:ExistingObjectTag` is known to the tagging actions too, not to reads only; without it the second statement of the scanned
# bucket's policy would never match.
TAGGING = {f"s3:{verb}Object{version}Tagging" for verb in ("Put", "Delete") for version in ("", "Version")}
context_of_reads = iam_actions.s3_service_context


def s3_service_context(iam_action, query_params, path="", headers=None):
    if iam_action in TAGGING:
        return iam_actions._s3_object_context(iam_action, query_params or {}, path, headers or {})
    return context_of_reads(iam_action, query_params, path, headers)


iam_actions.s3_service_context = s3_service_context

# A batch is judged by the action of its single form; AWS has no other.
action_of_call = iam_actions.extract_iam_action
BATCHES = {"sns:PublishBatch": "sns:Publish", "sqs:SendMessageBatch": "sqs:SendMessage"}


def extract_iam_action(*request):
    action = action_of_call(*request)
    return BATCHES.get(action, action)


iam_actions.extract_iam_action = extract_iam_action

# A wildcard stands for a line break, too: keys may have one.
compiled_of_lines = iam_evaluator._fnmatch_compile


@functools.lru_cache(4096)
def fnmatch_compile(pattern, ignore_case):
    compiled = compiled_of_lines(pattern, ignore_case)
    return re.compile(compiled.pattern, compiled.flags | re.DOTALL)


iam_evaluator._fnmatch_compile = fnmatch_compile

# Its calls have no TLS, and leave no machine. A policy that refuses calls without it would refuse all.
key_of_condition = iam_evaluator._resolve_condition_key


def resolve_condition_key(key, context):
    return "true" if key.lower() == "aws:securetransport" else key_of_condition(key, context)


iam_evaluator._resolve_condition_key = resolve_condition_key

# A range of a version named by its id is answered by that range, as one of the latest version is.
get_whole_versions = s3._get_object


def get_object(bucket, key, headers, query_params=None):
    status, answer, body = get_whole_versions(bucket, key, headers, query_params)
    if status != 200 or "range" not in headers:
        return status, answer, body
    wanted = s3._parse_range(headers["range"], len(body))
    if wanted is None:
        return s3._error("InvalidRange", "The requested range is not satisfiable", 416, f"/{bucket}/{key}")
    start, end = wanted
    answer |= {"Content-Length": str(end - start + 1), "Content-Range": f"bytes {start}-{end}/{len(body)}"}
    return 206, {name: value for name, value in answer.items() if "checksum" not in name}, body[start : end + 1]


s3._get_object = get_object

# A version behind a delete marker keeps its tags, and may be tagged: for the time of the call its key is there. No other call comes in
# between, as one thread answers all of S3.
def of_hidden_versions_too(call):
    def tagging(bucket_name, key, *rest):
        bucket, version = s3._ensure_bucket(bucket_name), s3._qp(rest[-1] or {}, "versionId", "")
        versions = s3._object_versions.get((bucket_name, key), [])
        # The marker itself has none.
        hidden = any(known["version_id"] == version and not known.get("is_delete_marker") for known in versions)
        if bucket is None or key in bucket["objects"] or not hidden:
            return call(bucket_name, key, *rest)
        bucket["objects"][key] = {"version_id": version}
        try:
            return call(bucket_name, key, *rest)
        finally:
            del bucket["objects"][key]

    return tagging


s3._get_object_tagging = of_hidden_versions_too(s3._get_object_tagging)
s3._put_object_tagging = of_hidden_versions_too(s3._put_object_tagging)
s3._delete_object_tagging = of_hidden_versions_too(s3._delete_object_tagging)

# A number that comes from a template's parameter stays a string, which its poller then cannot compare and no client understands.
def with_numbers(call):
    def called(esm, *rest):
        scaling = {name: int(value) for name, value in (esm.get("ScalingConfig") or {}).items()}
        return call({**esm, "ScalingConfig": scaling}, *rest)

    return called


lambda_svc._sqs_esm_concurrency = with_numbers(lambda_svc._sqs_esm_concurrency)
lambda_svc._esm_response = with_numbers(lambda_svc._esm_response)
record_of_function = lambda_svc._get_func_record_for_qualifier


def record_with_numbers(*arguments):
    record, config = record_of_function(*arguments)
    if config and "EphemeralStorage" in config:
        config["EphemeralStorage"]["Size"] = int(config["EphemeralStorage"]["Size"])
    return record, config


lambda_svc._get_func_record_for_qualifier = record_with_numbers

# The same of a function's disk.
functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]


def with_disk(properties):
    disk = properties.get("EphemeralStorage")
    return {**properties, "EphemeralStorage": {"Size": int(disk["Size"])}} if disk else properties


create_function, update_function = functions["create"], functions["update"]
functions["create"] = lambda logical_id, new, *rest: create_function(logical_id, with_disk(new), *rest)
functions["update"] = lambda id, old, new, *rest, **named: update_function(id, old, with_disk(new), *rest, **named)

# A deleted stack stays known by its id when another takes its name.
class Stacks(type(cloudformation._stacks)):
    __slots__ = ()

    def __setitem__(self, name, stack):
        before = self.get(name)
        if before is not None and before["StackStatus"] == "DELETE_COMPLETE" and before["StackId"] != stack["StackId"]:
            super().__setitem__(before["StackId"], before)
        super().__setitem__(name, stack)


cloudformation._stacks.__class__ = Stacks

# An alarm may be of an expression, and may warm up.
record_of_metric_alarm = provisioners._cw_metric_alarm_record


def metric_alarm_record(name, props):
    metrics = props.get("Metrics")
    named = {"Metrics": None, "Namespace": "expression", "MetricName": "expression"} if metrics else {}
    alarm = record_of_metric_alarm(name, {**props, **named})
    if metrics:
        alarm |= {"Metrics": metrics, "Namespace": None, "MetricName": None, "Statistic": None, "Period": None}
    if "WarmUpConfiguration" in props:
        alarm["WarmUpConfiguration"] = props["WarmUpConfiguration"]
    return alarm


provisioners._cw_metric_alarm_record = metric_alarm_record

# Alarms are judged by alarms.rs, which says why.
assert callable(cloudwatch._evaluate_alarm)
cloudwatch._evaluate_alarm = lambda alarm: None

# A message that a queue does not take goes to the subscription's dead-letter queue, and both are counted.
deliver_to_queue = sns._deliver_to_sqs


def takes(queue_arn, topic_arn):
    account = topic_arn.split(":")[4]
    return sqs._queue_by_arn(queue_arn) and sqs.queue_policy_allows(queue_arn, "sns.amazonaws.com", topic_arn, account)


def deliver_to_sqs(endpoint, *message, topic_arn, **rest):
    def count(metric):
        cloudwatch.record_metric("AWS/SNS", metric, 1, "Count", {"TopicName": topic_arn.rsplit(":", 1)[-1]})

    if takes(endpoint, topic_arn):
        return deliver_to_queue(endpoint, *message, topic_arn=topic_arn, **rest)
    count("NumberOfNotificationsFailed")
    subscriptions = sns._topic_by_arn_any_scope(topic_arn)["subscriptions"]
    attributes = next(sub.get("attributes", {}) for sub in subscriptions if sub.get("endpoint") == endpoint)
    policy = attributes.get("RedrivePolicy") or "{}"
    target = (json.loads(policy) if isinstance(policy, str) else policy).get("deadLetterTargetArn")
    if target is None:
        return None
    if not takes(target, topic_arn):
        return count("NumberOfNotificationsFailedToRedriveToDlq")
    count("NumberOfNotificationsRedrivenToDlq")
    return deliver_to_queue(target, *message, topic_arn=topic_arn, **rest)


sns._deliver_to_sqs = deliver_to_sqs


# What functions log in the embedded metric format becomes metrics.
def keep_metrics(log_text):
    for line in log_text.splitlines():
        if '{"_aws":' not in line and '"CloudWatchMetrics"' not in line:
            continue
        entry = json.loads(line[line.index("{") :])
        for directive in entry["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    values = entry[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        dimensions = {name: entry[name] for name in names}
                        cloudwatch.record_metric(directive["Namespace"], metric["Name"], value, metric["Unit"], dimensions)


# What a function logs goes to CloudWatch Logs, which few look into here, and only of some invocations to MiniStack's own log.
directory = os.environ.pop("FUNCTION_LOGS")
emit_to_cloudwatch = lambda_svc._emit_lambda_logs


def emit_lambda_logs(func, request_id, log_text, error, duration_ms, **rest):
    name = (func.get("config") or func)["FunctionName"]
    with open(f"{directory}/{name}.log", "a") as log:
        outcome = "failed" if error else "done"
        log.write(f"{log_text.rstrip()}\n-- {request_id} {outcome} in {duration_ms} ms\n")
    keep_metrics(log_text)
    emit_to_cloudwatch(func, request_id, log_text, error, duration_ms, **rest)


lambda_svc._emit_lambda_logs = emit_lambda_logs

# Writes throttle that have the text of the file `throttled` beside the logs, as long as there is one.
answer_of_tables = dynamodb.handle_request


def is_throttled(action, body):
    try:
        with open(f"{directory}/throttled", "rb") as file:
            return action in {"PutItem", "UpdateItem"} and file.read() in body
    except FileNotFoundError:
        return False


async def handle_request_of_tables(method, path, headers, body, *rest):
    if is_throttled(headers.get("x-amz-target", "").rpartition(".")[2], body):
        return responses.error_response_json("ProvisionedThroughputExceededException", "The level of writes is exceeded", 400)
    return await answer_of_tables(method, path, headers, body, *rest)


dynamodb.handle_request = handle_request_of_tables

# Each call and who made it: what AWS would charge for.
enforce_policies = iam_evaluator.enforce


def enforce(access_key, action, *rest, **named):
    caller = iam_evaluator.resolve_principal(access_key or "", responses.get_account_id())
    with open(f"{directory}/calls.log", "a") as log:
        log.write(f"{action} {getattr(caller, 'arn', '-')}\n")
    return enforce_policies(access_key, action, *rest, **named)


iam_evaluator.enforce = enforce

main()
