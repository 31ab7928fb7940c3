// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.credentials.Client;
import com.aliyun.teaopenapi.models.Config;
import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Asks STS who it is with credentials-java and one client, once for each line that it is given. Arguments: host and port of STS, and, where
 * the variables name an OIDC token, that of STS by HTTPS: the default chain calls STS of a region only.
 */
public final class V2DefaultChain {
  private V2DefaultChain() {}

  public static void main(String[] arguments) throws Exception {
    Client credential = arguments.length == 1 ? new Client() : new Client(
        new com.aliyun.credentials.models.Config().setType("oidc_role_arn").setSTSEndpoint(arguments[1])
            .setRoleArn(System.getenv("ALIBABA_CLOUD_ROLE_ARN")).setOidcProviderArn(System.getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"))
            .setOidcTokenFilePath(System.getenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE")).setRoleSessionName("shop.orders"));
    askForEachLine(arguments[0], credential);
  }

  /** Asks STS who it is, with one client, and prints the answer. */
  static void askForEachLine(String host, Client credential) throws Exception {
    com.aliyun.sts20150401.Client client = new com.aliyun.sts20150401.Client(
        new Config().setCredential(credential).setProtocol("HTTP").setEndpoint(host));
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    while (requests.readLine() != null) {
      System.out.println(client.getCallerIdentity().getBody().getArn());
    }
  }
}
