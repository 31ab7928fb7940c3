// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Asks STS who it is, with the default credential chain and one client, once for each line that it is given. Argument: host
// and port of STS.
'use strict';
const readline = require('readline');
const Credential = require('@alicloud/credentials').default;
const { Config } = require('@alicloud/openapi-client');
const Sts = require('@alicloud/sts20150401').default;

const client = new Sts(new Config({ credential: new Credential(), protocol: 'http', endpoint: process.argv[2] }));
readline.createInterface({ input: process.stdin }).on('line', async () => {
  const answer = await client.getCallerIdentity();
  console.log(answer.body.arn);
});
