# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Calls GetCallerIdentity with the default credential chain and one client of the V2 SDK, once for each input line.

Argument: host and port of STS.
"""
import sys

from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_sts20150401.client import Client
from alibabacloud_tea_openapi.models import Config

client = Client(Config(credential=CredentialClient(), protocol='http', endpoint=sys.argv[1]))
for _ in sys.stdin:
    print(client.get_caller_identity().body.arn, flush=True)
