# Copyright The sts-credential-operator Authors.
# SPDX-License-Identifier: Apache-2.0

"""Lets the V1.0 SDK assume a role itself, with the AccessKey of a RAM user, and calls GetCallerIdentity with the result.

Arguments: host and port of STS over HTTPS, which the SDK requires for AssumeRole; the role.
"""
import os
import sys

from aliyunsdkcore.auth.credentials import RamRoleArnCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest

client = AcsClient(region_id='cn-hangzhou', auto_retry=False, credential=RamRoleArnCredential(
    os.environ['ACCESS_KEY_ID'], os.environ['ACCESS_KEY_SECRET'], sys.argv[2], 'shop.orders'))
client.add_endpoint('cn-hangzhou', 'Sts', sys.argv[1])
request = CommonRequest(domain=sys.argv[1], version='2015-04-01', action_name='GetCallerIdentity')
request.set_method('POST')
request.set_protocol_type('https')
print(client.do_action_with_exception(request).decode())
