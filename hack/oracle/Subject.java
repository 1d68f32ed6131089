import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;

/** The implementation under test: a child process that answers one line per line. */
final class Subject implements AutoCloseable {
  private static final HexFormat HEX = HexFormat.of();

  private final Process process;
  private final BufferedReader answers;
  private final BufferedWriter requests;

  Subject(String program) throws IOException {
    process = new ProcessBuilder(program).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    requests = new BufferedWriter(new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8));
  }

  /**
   * Arguments are byte arrays, collections of them, or what prints as itself. A refusal is an unchecked exception; the
   * end of the process is an {@link IOException}.
   */
  List<byte[]> ask(String command, Object... arguments) throws IOException {
    requests.write(command + " " + Arrays.stream(arguments).map(Subject::write).collect(Collectors.joining(" ")));
    requests.newLine();
    requests.flush();
    String answer = answers.readLine();
    if (answer == null) {
      throw new IOException("the subject ended while answering '" + command + "'");
    }
    String[] words = answer.split(" ");
    if (!words[0].equals("ok")) {
      throw new IllegalStateException(answer);
    }
    return Arrays.stream(words).skip(1).map(Subject::read).toList();
  }

  byte[] askOne(String command, Object... arguments) throws IOException {
    return ask(command, arguments).get(0);
  }

  private static String write(Object argument) {
    if (argument instanceof byte[] bytes) {
      return bytes.length == 0 ? "-" : HEX.formatHex(bytes);
    }
    if (argument instanceof Collection<?> items) {
      return items.isEmpty() ? "-" : items.stream().map(Subject::write).collect(Collectors.joining(","));
    }
    return argument.toString();
  }

  private static byte[] read(String word) {
    return word.equals("-") ? new byte[0] : HEX.parseHex(word);
  }

  @Override
  public void close() throws IOException {
    requests.close();
    process.destroy();
  }
}
