// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.aliyun.credentials.Client;
import java.nio.file.Path;

/** Does what V2DefaultChain does, with the credentials in a file. Arguments: host and port of STS, the file. */
public final class V2FileProvider {
  private V2FileProvider() {}

  public static void main(String[] arguments) throws Exception {
    V2DefaultChain.askForEachLine(arguments[0], new Client(new FileProvider(Path.of(arguments[1]))));
  }
}
