// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.oss.ClientBuilderConfiguration;
import com.aliyun.oss.OSS;
import com.aliyun.oss.OSSClientBuilder;
import com.aliyun.oss.common.auth.CredentialsProviderFactory;
import com.aliyun.oss.common.comm.SignVersion;

/** Lists the buckets with the variables OSS_*. Arguments: URL of OSS, version of the signature. */
public final class OssListBuckets {
  private OssListBuckets() {}

  public static void main(String[] arguments) throws Exception {
    ClientBuilderConfiguration configuration = new ClientBuilderConfiguration();
    configuration.setSignatureVersion(SignVersion.valueOf(arguments[1]));
    configuration.setMaxErrorRetry(0);
    OSS client = OSSClientBuilder.create().endpoint(arguments[0]).region("cn-hangzhou").clientConfiguration(configuration)
        .credentialsProvider(CredentialsProviderFactory.newEnvironmentVariableCredentialsProvider()).build();
    try {
      System.out.println(client.listBuckets());
    } finally {
      client.shutdown();
    }
  }
}
