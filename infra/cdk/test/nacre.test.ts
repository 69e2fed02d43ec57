import * as assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { App, CfnOutput, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { Nacre } from "../src";

const TEMPLATE = path.join(__dirname, "../../../template.yaml");

/** An unpacked release, without what is in its packages. */
function release(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "nacre-cdk-"));
  for (const name of ["updater.zip", "scanner.zip", "rescanner.zip"]) {
    fs.writeFileSync(path.join(directory, name), name);
  }
  fs.copyFileSync(TEMPLATE, path.join(directory, "template.yaml"));
  return directory;
}

test("the template is one nested stack with its packages", () => {
  const directory = release();
  const stack = new Stack(new App(), "Test");
  const nacre = new Nacre(stack, "Nacre", { releaseDirectory: directory, parameters: { AlertEmail: "a@example.com" } });
  new CfnOutput(stack, "Bucket", { value: nacre.output("ScannedBucket") });
  const made = Template.fromStack(stack);
  const nested = Object.values(made.findResources("AWS::CloudFormation::Stack"));
  assert.equal(nested.length, 1);
  const parameters = nested[0].Properties.Parameters;
  assert.equal(parameters.AlertEmail, "a@example.com");
  assert.deepEqual(Object.keys(parameters).sort(), ["AlertEmail", "CodeBucket", "RescannerCodeKey", "ScannerCodeKey", "UpdaterCodeKey"]);
  const keys = ["UpdaterCodeKey", "ScannerCodeKey", "RescannerCodeKey"].map((name) => parameters[name]);
  assert.equal(new Set(keys).size, 3);
  // Each parameter that is set is one of the template's.
  const template = fs.readFileSync(TEMPLATE, "utf8");
  for (const name of Object.keys(parameters)) {
    assert.match(template, new RegExp(`^  ${name}:$`, "m"));
  }
  fs.rmSync(directory, { recursive: true });
});

test("what is missing or ours to set is refused", () => {
  const directory = release();
  const stack = new Stack(new App(), "Test");
  const taken = () => new Nacre(stack, "Taken", { releaseDirectory: directory, parameters: { CodeBucket: "mine" } });
  assert.throws(taken, /CodeBucket: set by this construct/);
  fs.rmSync(path.join(directory, "scanner.zip"));
  assert.throws(() => new Nacre(stack, "Missing", { releaseDirectory: directory }), /scanner.zip is missing/);
  fs.rmSync(directory, { recursive: true });
});
