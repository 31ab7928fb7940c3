# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Lists the tables of an instance. Argument: URL of the instance."""
import os
import sys

import tablestore
from tablestore.retry import NoRetryPolicy

client = tablestore.OTSClient(
    sys.argv[1],
    os.environ['TABLESTORE_ACCESS_KEY_ID'],
    os.environ['TABLESTORE_ACCESS_KEY_SECRET'],
    'orders',
    sts_token=os.environ['TABLESTORE_SESSION_TOKEN'],
    retry_policy=NoRetryPolicy(),
)
print(*client.list_table())
