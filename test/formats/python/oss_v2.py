# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Lists the buckets of OSS with alibabacloud_oss_v2 and its provider for the environment. Argument: URL of OSS."""
import sys

import alibabacloud_oss_v2 as oss

config = oss.config.load_default()
config.credentials_provider = oss.credentials.EnvironmentVariableCredentialsProvider()
config.region = 'cn-hangzhou'
config.endpoint = sys.argv[1]
config.use_path_style = True
config.retry_max_attempts = 1
client = oss.Client(config)
print(*[bucket.name for bucket in client.list_buckets(oss.ListBucketsRequest()).buckets])
