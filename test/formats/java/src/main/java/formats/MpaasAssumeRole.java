// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyuncs.DefaultAcsClient;
import com.aliyuncs.auth.sts.AssumeRoleRequest;
import com.aliyuncs.auth.sts.AssumeRoleResponse;
import com.aliyuncs.http.MethodType;
import com.aliyuncs.profile.DefaultProfile;

/**
 * Assumes a role itself with the SDK V1.0, and calls mPaaS with the result, as programs do that run without the operator. It has the
 * AccessKey of a RAM user in MPAAS_AK_ENV and MPAAS_SK_ENV. Arguments: host and port of STS by HTTPS and of mPaaS, ARN of the role.
 */
public final class MpaasAssumeRole {
  private MpaasAssumeRole() {}

  public static void main(String[] arguments) throws Exception {
    DefaultProfile.addEndpoint("cn-hangzhou", "Sts", arguments[0]);
    DefaultAcsClient client = new DefaultAcsClient(
        DefaultProfile.getProfile("cn-hangzhou", System.getenv("MPAAS_AK_ENV"), System.getenv("MPAAS_SK_ENV")));
    AssumeRoleRequest request = new AssumeRoleRequest();
    request.setSysMethod(MethodType.POST);
    request.setRoleArn(arguments[2]);
    request.setRoleSessionName("shop.orders");
    request.setDurationSeconds(3600L);
    AssumeRoleResponse.Credentials session = client.getAcsResponse(request).getCredentials();
    client.shutdown();
    System.out.println(Mcube.queryVhost(arguments[1], session.getAccessKeyId(), session.getAccessKeySecret(), session.getSecurityToken()));
  }
}
