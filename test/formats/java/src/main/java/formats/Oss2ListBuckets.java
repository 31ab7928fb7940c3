// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.sdk.service.oss2.OSSClient;
import com.aliyun.sdk.service.oss2.credentials.EnvironmentVariableCredentialsProvider;
import com.aliyun.sdk.service.oss2.models.ListBucketsRequest;

/** Lists the buckets with the OSS SDK V2 and the variables OSS_*. Argument: URL of OSS. */
public final class Oss2ListBuckets {
  private Oss2ListBuckets() {}

  public static void main(String[] arguments) throws Exception {
    try (OSSClient client = OSSClient.newBuilder().region("cn-hangzhou").endpoint(arguments[0]).usePathStyle(true).retryMaxAttempts(1)
        .credentialsProvider(new EnvironmentVariableCredentialsProvider()).build()) {
      System.out.println(client.listBuckets(ListBucketsRequest.newBuilder().build()).buckets().size());
    }
  }
}
