// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// A workload that knows nothing of the operator: once a second it asks STS who it is, with one client of the V2 SDK and the
// default credential chain. It prints what the command refresh in Go prints. Argument: URL of STS.
'use strict';
const os = require('os');
const Credential = require('@alicloud/credentials').default;
const { Config } = require('@alicloud/openapi-client');
const Sts = require('@alicloud/sts20150401').default;

const at = new URL(process.argv[2]);
const client = new Sts(new Config({
  credential: new Credential(), protocol: at.protocol.replace(':', ''), endpoint: at.host, userAgent: `refresh/${os.hostname()}`,
}));
let last = '';
let failures = 0;
setInterval(async () => {
  try {
    const { arn } = (await client.getCallerIdentity()).body;
    if (arn !== last) {
      last = arn;
      console.log(arn);
    }
  } catch (error) {
    failures++;
    console.log(`failure ${failures}: ${error.message}`);
  }
}, 1000);
process.on('SIGTERM', () => process.exit(0));
