// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.teaopenapi.Client;
import com.aliyun.teaopenapi.models.Config;
import com.aliyun.teaopenapi.models.OpenApiRequest;
import com.aliyun.teaopenapi.models.Params;
import com.aliyun.teautil.models.RuntimeOptions;
import java.util.Map;

/**
 * Calls QueryMcubeVhost of mPaaS, with three values in the Config. Its SDK is a subclass of this client, which gives it these parameters.
 */
final class Mcube {
  private Mcube() {}

  static Map<String, ?> queryVhost(String host, String id, String secret, String token) throws Exception {
    Config config = new Config().setAccessKeyId(id).setAccessKeySecret(secret).setSecurityToken(token);
    Client client = new Client(config.setEndpoint(host).setProtocol("HTTP"));
    Params params = new Params().setAction("QueryMcubeVhost").setVersion("2020-10-28").setProtocol("HTTP").setPathname("/")
        .setMethod("POST").setAuthType("AK").setStyle("RPC").setReqBodyType("formData").setBodyType("json");
    Map<String, String> body = Map.of("AppId", "ALIPUB40D0000000", "WorkspaceId", "default", "TenantId", "XV00000F");
    return client.callApi(params, new OpenApiRequest().setBody(body), new RuntimeOptions());
  }
}
