// Nacre as a construct: the released template as a nested stack, with the released packages as assets. What the template has is declared
// there and nowhere else; its parameters are this construct's `parameters`.

import * as fs from "node:fs";
import * as path from "node:path";
import { CfnStack, Fn } from "aws-cdk-lib";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";

export interface NacreProps {
  /** Directory of an unpacked release: template.yaml, updater.zip, scanner.zip, rescanner.zip. */
  readonly releaseDirectory: string;
  /** Parameters of the template, such as `{ AlertEmail: "security@example.com" }`. */
  readonly parameters?: Record<string, string>;
}

/** The template's parameter that names each package's key. */
const PACKAGES = { UpdaterCodeKey: "updater.zip", ScannerCodeKey: "scanner.zip", RescannerCodeKey: "rescanner.zip" };

export class Nacre extends Construct {
  /** The nested stack. */
  readonly stack: CfnStack;

  constructor(scope: Construct, id: string, props: NacreProps) {
    super(scope, id);
    const ours = ["CodeBucket", ...Object.keys(PACKAGES)];
    const taken = Object.keys(props.parameters ?? {}).filter((name) => ours.includes(name));
    if (taken.length > 0) {
      throw new Error(`${taken.join(", ")}: set by this construct`);
    }
    const asset = (name: string) => {
      const file = path.join(props.releaseDirectory, name);
      if (!fs.existsSync(file)) {
        throw new Error(`${file} is missing: releaseDirectory is an unpacked release`);
      }
      return new Asset(this, name, { path: file });
    };
    const keys: Record<string, string> = {};
    let bucket = "";
    for (const [parameter, name] of Object.entries(PACKAGES)) {
      const uploaded = asset(name);
      keys[parameter] = uploaded.s3ObjectKey;
      // All assets of an environment are in one bucket.
      bucket = uploaded.s3BucketName;
    }
    this.stack = new CfnStack(this, "Stack", {
      templateUrl: asset("template.yaml").httpUrl,
      parameters: { ...props.parameters, CodeBucket: bucket, ...keys },
    });
  }

  /** An output of the template, such as `ScannedBucket`. */
  output(name: string): string {
    return Fn.getAtt(this.stack.logicalId, `Outputs.${name}`).toString();
  }
}
