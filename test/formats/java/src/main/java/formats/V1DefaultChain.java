// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyuncs.DefaultAcsClient;
import com.aliyuncs.auth.DefaultCredentialsProvider;
import com.aliyuncs.profile.DefaultProfile;
import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Asks STS who it is with the default chain of the SDK V1.0 and one client, once for each line that it is given. Argument: host
 * and port of STS.
 */
public final class V1DefaultChain {
  private V1DefaultChain() {}

  public static void main(String[] arguments) throws Exception {
    DefaultAcsClient client = new DefaultAcsClient(DefaultProfile.getProfile("cn-hangzhou"), new DefaultCredentialsProvider());
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    while (requests.readLine() != null) {
      System.out.println(CallerIdentity.ask(client, arguments[0]));
    }
    client.shutdown();
  }
}
