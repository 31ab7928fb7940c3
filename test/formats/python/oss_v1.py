# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Lists the buckets of OSS with oss2 and its provider for the environment.

Arguments: URL of OSS; the version of the signature.
"""
import sys

import oss2
from oss2.credentials import EnvironmentVariableCredentialsProvider

provider = EnvironmentVariableCredentialsProvider()
auth = oss2.ProviderAuthV4(provider) if sys.argv[2] == 'V4' else oss2.ProviderAuth(provider)
service = oss2.Service(auth, sys.argv[1], region='cn-hangzhou', is_path_style=True)
print(*[bucket.name for bucket in service.list_buckets().buckets])
