// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.credentials.models.CredentialModel;
import com.aliyun.credentials.provider.AlibabaCloudCredentialsProvider;
import com.google.gson.Gson;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** A provider for the client of credentials-java, which asks it at each request. It reads the format External. */
final class FileProvider implements AlibabaCloudCredentialsProvider {
  private final Path file;

  FileProvider(Path file) {
    this.file = file;
  }

  @Override
  public CredentialModel getCredentials() {
    try {
      Map<?, ?> session = new Gson().fromJson(Files.readString(file), Map.class);
      return CredentialModel.builder().type("sts").accessKeyId((String) session.get("access_key_id"))
          .accessKeySecret((String) session.get("access_key_secret")).securityToken((String) session.get("sts_token")).build();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public String getProviderName() {
    return "file";
  }

  @Override
  public void close() {}
}
