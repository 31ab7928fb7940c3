# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Assumes a role with an OIDC token, as RRSA does in a pod, and calls GetCallerIdentity with the result.

Arguments: host and port of STS over HTTPS, which the provider requires, and over HTTP.
"""
import sys

from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_credentials.provider import OIDCRoleArnCredentialsProvider
from alibabacloud_sts20150401.client import Client
from alibabacloud_tea_openapi.models import Config

credential = CredentialClient(provider=OIDCRoleArnCredentialsProvider(sts_endpoint=sys.argv[1]))
client = Client(Config(credential=credential, protocol='http', endpoint=sys.argv[2]))
print(client.get_caller_identity().body.arn)
