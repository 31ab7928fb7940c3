// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.sts20150401.Client;
import com.aliyun.sts20150401.models.AssumeRoleRequest;
import com.aliyun.teaopenapi.models.Config;

/** Assumes a role with the SDK V2 of STS and the AccessKey in ALIBABA_CLOUD_*. Arguments: host and port of STS, ARN of the role. */
public final class V2AssumeRole {
  private V2AssumeRole() {}

  public static void main(String[] arguments) throws Exception {
    Client client = new Client(new Config().setProtocol("HTTP").setEndpoint(arguments[0])
        .setAccessKeyId(System.getenv("ALIBABA_CLOUD_ACCESS_KEY_ID")).setAccessKeySecret(System.getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET")));
    AssumeRoleRequest request = new AssumeRoleRequest().setDurationSeconds(3600L).setRoleArn(arguments[1])
        .setRoleSessionName("shop.orders");
    System.out.println(client.assumeRole(request).getBody().getAssumedRoleUser().getArn());
  }
}
