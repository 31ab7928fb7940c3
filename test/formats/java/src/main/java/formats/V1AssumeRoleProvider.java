// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyuncs.DefaultAcsClient;
import com.aliyuncs.auth.BasicCredentials;
import com.aliyuncs.auth.STSAssumeRoleSessionCredentialsProvider;
import com.aliyuncs.profile.DefaultProfile;

/**
 * Assumes a role with the SDK V1.0, and asks STS who it is then. It has the AccessKey of a RAM user in MPAAS_AK_ENV and MPAAS_SK_ENV.
 * Arguments: host and port of STS by HTTPS and by HTTP, ARN of the role.
 */
public final class V1AssumeRoleProvider {
  private V1AssumeRoleProvider() {}

  public static void main(String[] arguments) throws Exception {
    DefaultProfile.addEndpoint("cn-hangzhou", "Sts", arguments[0]);
    DefaultProfile profile = DefaultProfile.getProfile("cn-hangzhou");
    STSAssumeRoleSessionCredentialsProvider provider = new STSAssumeRoleSessionCredentialsProvider(
        new BasicCredentials(System.getenv("MPAAS_AK_ENV"), System.getenv("MPAAS_SK_ENV")), arguments[2], profile);
    DefaultAcsClient client = new DefaultAcsClient(profile, provider.withRoleSessionName("shop.orders"));
    System.out.println(CallerIdentity.ask(client, arguments[1]));
    client.shutdown();
  }
}
