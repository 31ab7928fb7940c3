# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Calls GetCallerIdentity with the client of the V1.0 SDK.

Arguments: host and port of STS, and "environment" to leave the credentials to the SDK.
"""
import os
import sys

from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest

client = AcsClient(region_id='cn-hangzhou', credential=StsTokenCredential(
    os.environ['ALIBABA_CLOUD_ACCESS_KEY_ID'],
    os.environ['ALIBABA_CLOUD_ACCESS_KEY_SECRET'],
    os.environ['ALIBABA_CLOUD_SECURITY_TOKEN'],
))
if sys.argv[2:] == ['environment']:
    client = AcsClient(region_id='cn-hangzhou')
request = CommonRequest(domain=sys.argv[1], version='2015-04-01', action_name='GetCallerIdentity')
request.set_method('POST')
print(client.do_action_with_exception(request).decode())
