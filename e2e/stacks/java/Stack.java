import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;

/**
 * A client and a server of the JDK's TLS, with its own key manager and its own trust manager. The command line and the
 * output are those of stack-go (e2e/stacks/go/main.go): one line for each failure, a last line of JSON.
 *
 * <pre>
 * stack-java client --address HOST:PORT --name DNSNAME --ca FILE --cert FILE --key FILE --count N --every MS [--roots once|each]
 * stack-java server --listen HOST:PORT --ca FILE --cert FILE --key FILE
 * </pre>
 */
public final class Stack {
    /** A handshake with its request and its answer takes milliseconds. */
    private static final int PATIENCE_MS = 10_000;
    private static final int MAX_LINE = 8 << 10;
    private static final int MAX_ANSWER = 1 << 20;
    private static final String REQUEST = "GET /upcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    private static final String ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nI'm up!";
    private static final List<String> OPTIONS =
            List.of("address", "name", "ca", "cert", "key", "count", "every", "roots", "listen");

    private final Path ca;
    private final Path certificate;
    private final Path key;
    /** Counted down by SIGTERM. */
    private final CountDownLatch stop = new CountDownLatch(1);

    private Stack(Map<String, String> options) {
        ca = Path.of(required(options, "ca"));
        certificate = Path.of(required(options, "cert"));
        key = Path.of(required(options, "key"));
    }

    public static void main(String[] arguments) throws Exception {
        try {
            Map<String, String> options = options(arguments);
            Stack stack = new Stack(options);
            switch (arguments[0]) {
                case "client" -> stack.client(options);
                case "server" -> stack.server(options);
                default -> throw new IllegalArgumentException("client or server");
            }
        } catch (IllegalArgumentException wrong) {
            System.err.println("usage: stack-java client|server, with the options of stack-go: " + wrong.getMessage());
            System.exit(2);
        }
    }

    private static Map<String, String> options(String[] arguments) {
        if (arguments.length % 2 != 1) {
            throw new IllegalArgumentException("each option has a value");
        }
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i < arguments.length; i += 2) {
            String name = arguments[i].startsWith("--") ? arguments[i].substring(2) : "";
            if (!OPTIONS.contains(name)) {
                throw new IllegalArgumentException("unknown option " + arguments[i]);
            }
            options.put(name, arguments[i + 1]);
        }
        return options;
    }

    private static String required(Map<String, String> options, String name) {
        String value = options.get(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    private static InetSocketAddress address(String text) {
        int colon = text.lastIndexOf(':');
        if (colon < 1) {
            throw new IllegalArgumentException("an address is HOST:PORT");
        }
        String host = text.substring(0, colon).replaceAll("[\\[\\]]", "");
        return new InetSocketAddress(host, Integer.parseInt(text.substring(colon + 1)));
    }

    // --- client ----------------------------------------------------------------------------------------------------

    private void client(Map<String, String> options) throws Exception {
        String address = required(options, "address");
        address(address); // A wrong one is wrong usage, no failed handshake.
        String name = required(options, "name");
        int count = Integer.parseInt(options.getOrDefault("count", "1"));
        long every = Long.parseLong(options.getOrDefault("every", "100"));
        String when = options.getOrDefault("roots", "once");
        if (count < 0 || every < 0 || !List.of("once", "each").contains(when)) {
            throw new IllegalArgumentException("--count, --every or --roots");
        }
        TrustManager[] roots = when.equals("once") ? roots() : null;
        Runtime.getRuntime().addShutdownHook(new Thread(this::endAndWait));
        long handshakes = 0;
        long failed = 0;
        long next = System.nanoTime();
        while ((count == 0 || handshakes < count) && stop.getCount() > 0) {
            handshakes++;
            try {
                handshake(address(address), name, roots == null ? roots() : roots);
            } catch (IOException | GeneralSecurityException | RuntimeException error) {
                failed++;
                complain("handshake " + handshakes + " failed", error);
            }
            // A late handshake makes none of the later ones early.
            next = Math.max(next + TimeUnit.MILLISECONDS.toNanos(every), System.nanoTime());
            if (handshakes != count) {
                stop.await(next - System.nanoTime(), TimeUnit.NANOSECONDS);
            }
        }
        System.out.println("{\"handshakes\":" + handshakes + ",\"failed\":" + failed + "}");
        System.out.flush();
        // Not `exit`, which waits for the hook, which waits for this.
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    /** On SIGTERM: the handshake that is being made is finished, and `halt` ends the process. */
    private void endAndWait() {
        stop.countDown();
        try {
            Thread.sleep(2L * PATIENCE_MS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    /** With a context of its own, so that no session is resumed. */
    private void handshake(InetSocketAddress address, String name, TrustManager[] roots)
            throws IOException, GeneralSecurityException {
        if (address.isUnresolved()) {
            throw new IOException("unknown host " + address.getHostString());
        }
        SSLContext context = context(roots);
        try (Socket tcp = new Socket()) {
            tcp.connect(address, PATIENCE_MS);
            tcp.setSoTimeout(PATIENCE_MS);
            try (SSLSocket socket =
                    (SSLSocket) context.getSocketFactory().createSocket(tcp, name, address.getPort(), true)) {
                SSLParameters parameters = socket.getSSLParameters();
                parameters.setEndpointIdentificationAlgorithm("HTTPS");
                parameters.setServerNames(List.of(new SNIHostName(name)));
                socket.setSSLParameters(parameters);
                socket.startHandshake();
                send(socket, REQUEST);
                readAnswer(new BufferedInputStream(socket.getInputStream()));
            }
        }
    }

    private static void send(SSLSocket socket, String text) throws IOException {
        OutputStream out = socket.getOutputStream();
        out.write(text.getBytes(StandardCharsets.US_ASCII));
        out.flush();
    }

    /** Until its length if it has one, else until the server's end. */
    private static void readAnswer(InputStream in) throws IOException {
        String status = line(in);
        if (!status.matches("HTTP/1\\.[01] [0-9]{3}.*")) {
            throw new IOException("no HTTP status line came back");
        }
        long length = -1;
        for (String line = line(in); !line.isEmpty(); line = line(in)) {
            if (line.regionMatches(true, 0, "content-length:", 0, 15)) {
                length = Long.parseLong(line.substring(15).trim());
            }
        }
        for (int read = 0; length < 0 || read < length; read++) {
            if (in.read() < 0) {
                if (length < 0) {
                    return;
                }
                throw new EOFException("the answer breaks off");
            }
            if (read == MAX_ANSWER) {
                throw new IOException("the answer is too long");
            }
        }
    }

    private static String line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int next = in.read(); next != '\n'; next = in.read()) {
            if (next < 0) {
                throw new EOFException("the connection ended before an answer");
            }
            if (line.size() == MAX_LINE) {
                throw new IOException("a line is too long");
            }
            line.write(next);
        }
        return line.toString(StandardCharsets.ISO_8859_1).stripTrailing();
    }

    // --- server ----------------------------------------------------------------------------------------------------

    private void server(Map<String, String> options) throws Exception {
        InetSocketAddress address = address(options.getOrDefault("listen", "127.0.0.1:0"));
        InetAddress host = address.getAddress();
        SSLContext context = context(roots());
        SSLServerSocket listener =
                (SSLServerSocket) context.getServerSocketFactory().createServerSocket(address.getPort(), 50, host);
        listener.setNeedClientAuth(true);
        System.out.println("listening " + listener.getLocalPort());
        System.out.flush();
        Thread input = new Thread(Stack::endWithInput);
        input.setDaemon(true);
        input.start();
        ExecutorService workers = Executors.newFixedThreadPool(8);
        while (true) {
            SSLSocket socket = (SSLSocket) listener.accept();
            workers.execute(() -> answer(socket));
        }
    }

    private static void endWithInput() {
        try {
            System.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException broken) {
            complain("standard input", broken);
        }
        Runtime.getRuntime().halt(0);
    }

    private static void answer(SSLSocket accepted) {
        try (SSLSocket socket = accepted) {
            socket.setSoTimeout(PATIENCE_MS);
            socket.startHandshake();
            InputStream in = new BufferedInputStream(socket.getInputStream());
            while (!line(in).isEmpty()) {
                // The head of a request ends with an empty line.
            }
            send(socket, ANSWER);
        } catch (IOException error) {
            complain("refused", error);
        }
    }

    // --- certificates ----------------------------------------------------------------------------------------------

    private SSLContext context(TrustManager[] roots) throws IOException, GeneralSecurityException {
        char[] password = new char[0];
        KeyStore store = emptyStore();
        loadPair(store, password);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), roots, null);
        return context;
    }

    private TrustManager[] roots() throws IOException, GeneralSecurityException {
        KeyStore store = emptyStore();
        int index = 0;
        for (Certificate root : certificates(Files.readAllBytes(ca))) {
            store.setCertificateEntry("root-" + index++, root);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        return trust.getTrustManagers();
    }

    /** The certificate is read before and after its key: a kubelet exchanges both files between two reads. */
    private void loadPair(KeyStore store, char[] password) throws IOException, GeneralSecurityException {
        for (int attempt = 0; attempt < 3; attempt++) {
            byte[] before = Files.readAllBytes(certificate);
            PrivateKey privateKey = privateKey(Files.readString(key));
            if (Arrays.equals(before, Files.readAllBytes(certificate))) {
                store.setKeyEntry("own", privateKey, password, certificates(before).toArray(Certificate[]::new));
                return;
            }
        }
        throw new IOException(certificate + " changes faster than it can be read");
    }

    /** Of type JKS: PKCS12 derives a key by ten thousand rounds for each private key that it takes in, even in memory. */
    private static KeyStore emptyStore() throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("JKS");
        store.load(null, null);
        return store;
    }

    private static Collection<? extends Certificate> certificates(byte[] pem) throws GeneralSecurityException {
        return CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem));
    }

    private static PrivateKey privateKey(String pem) throws GeneralSecurityException {
        String body = pem.replaceAll("-----(BEGIN|END) PRIVATE KEY-----", "");
        byte[] der = Base64.getMimeDecoder().decode(body);
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
    }

    /** One line; the causes say what the outermost exception does not. */
    private static void complain(String what, Throwable error) {
        StringBuilder reason = new StringBuilder(error.toString());
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            reason.append("; ").append(cause);
        }
        System.err.println(Instant.now().truncatedTo(ChronoUnit.MILLIS) + " " + what + ": "
                + reason.toString().replaceAll("\\s+", " "));
    }
}
