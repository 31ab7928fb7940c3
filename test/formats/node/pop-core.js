// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Asks STS who it is with the client of the V1.0 SDK. Argument: URL of STS.
'use strict';
const { RPCClient } = require('@alicloud/pop-core');

const client = new RPCClient({
  accessKeyId: process.env.ALIBABA_CLOUD_ACCESS_KEY_ID,
  accessKeySecret: process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET,
  securityToken: process.env.ALIBABA_CLOUD_SECURITY_TOKEN,
  endpoint: process.argv[2],
  apiVersion: '2015-04-01',
});
client.request('GetCallerIdentity', {}, { method: 'POST' }).then((answer) => console.log(answer.Arn));
