// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyuncs.CommonRequest;
import com.aliyuncs.IAcsClient;
import com.aliyuncs.exceptions.ClientException;
import com.aliyuncs.http.MethodType;
import com.aliyuncs.http.ProtocolType;

/** Asks STS who it is with a client of the SDK V1.0. */
final class CallerIdentity {
  private CallerIdentity() {}

  /** Returns the answer of the STS at this host and port. */
  static String ask(IAcsClient client, String host) throws ClientException {
    CommonRequest request = new CommonRequest();
    request.setSysMethod(MethodType.POST);
    request.setSysProtocol(ProtocolType.HTTP);
    request.setSysDomain(host);
    request.setSysVersion("2015-04-01");
    request.setSysAction("GetCallerIdentity");
    return client.getCommonResponse(request).getData();
  }
}
