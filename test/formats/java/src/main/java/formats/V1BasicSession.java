// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyuncs.DefaultAcsClient;
import com.aliyuncs.auth.BasicSessionCredentials;
import com.aliyuncs.profile.DefaultProfile;

/** Asks STS who it is with the SDK V1.0, whose constructor gets the variables. Argument: host and port of STS. */
public final class V1BasicSession {
  private V1BasicSession() {}

  public static void main(String[] arguments) throws Exception {
    DefaultAcsClient client = new DefaultAcsClient(DefaultProfile.getProfile("cn-hangzhou"), new BasicSessionCredentials(
        System.getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"), System.getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), System.getenv("ALIBABA_CLOUD_SECURITY_TOKEN")));
    System.out.println(CallerIdentity.ask(client, arguments[0]));
    client.shutdown();
  }
}
