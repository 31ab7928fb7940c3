# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Lists the tables of an instance once for each input line, with credentials from a file that is read for each request.

Arguments: URL of the instance; the file, in the format External.
"""
import json
import sys

import tablestore
from tablestore.credentials import Credentials, CredentialsProvider
from tablestore.retry import NoRetryPolicy


class FileProvider(CredentialsProvider):
    """A CredentialsProvider of the Tablestore SDK that follows renewals. It reads the file as a whole."""

    def __init__(self, file):
        self.file = file

    def get_credentials(self):
        with open(self.file) as content:
            session = json.load(content)
        return Credentials(session['access_key_id'], session['access_key_secret'], session['sts_token'])


client = tablestore.OTSClient(sys.argv[1], instance_name='orders', credentials_provider=FileProvider(sys.argv[2]),
                              retry_policy=NoRetryPolicy())
for _ in sys.stdin:
    print(*client.list_table(), flush=True)
