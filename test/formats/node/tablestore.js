// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Lists the tables of an instance. Argument: URL of the instance. What it answers does not matter.
'use strict';
const { Client } = require('tablestore');

const client = new Client({
  accessKeyId: process.env.TABLESTORE_ACCESS_KEY_ID,
  secretAccessKey: process.env.TABLESTORE_ACCESS_KEY_SECRET,
  stsToken: process.env.TABLESTORE_SESSION_TOKEN,
  endpoint: process.argv[2],
  instancename: 'orders',
  maxRetries: 0,
});
client.listTable({}, () => process.exit(0));
