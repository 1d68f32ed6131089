import com.quorum.tessera.argon2.Argon2;
import com.quorum.tessera.config.ArgonOptions;
import com.quorum.tessera.config.PrivateKeyData;
import com.quorum.tessera.config.keys.KeyEncryptorImpl;
import com.quorum.tessera.enclave.AffectedTransaction;
import com.quorum.tessera.enclave.EncodedPayload;
import com.quorum.tessera.enclave.EnclaveImpl;
import com.quorum.tessera.enclave.PayloadEncoder;
import com.quorum.tessera.enclave.PayloadEncoderImpl;
import com.quorum.tessera.enclave.PrivacyMode;
import com.quorum.tessera.enclave.RawTransaction;
import com.quorum.tessera.encryption.Encryptor;
import com.quorum.tessera.encryption.KeyManagerImpl;
import com.quorum.tessera.encryption.KeyPair;
import com.quorum.tessera.encryption.Nonce;
import com.quorum.tessera.encryption.PrivateKey;
import com.quorum.tessera.encryption.PublicKey;
import com.quorum.tessera.nacl.jnacl.JnaclFactory;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * Differential test of the payload core: Java Tessera's own libraries on one side, ours on the other, random inputs, each
 * operation in both directions. Arguments: the subject's program, the number of rounds, a seed for the choices.
 */
public final class Oracle {
  private static final int POOL = 40;
  private static final int LOCKED_KEYS = 5;
  private static final byte[] NOTHING = {};
  /** A defect of jnacl: it compares the first fifteen bytes of the tag. We compare all sixteen, as NaCl does. */
  private static final int UNCHECKED_TAG_BYTE = 15;

  private final Encryptor encryptor = new JnaclFactory().create(Map.of());
  private final PayloadEncoder encoder = new PayloadEncoderImpl();
  private final List<KeyPair> pool = IntStream.range(0, POOL).mapToObj(i -> encryptor.generateNewKeys()).toList();
  private final Subject subject;
  private final Random random;
  private int passed;
  private int failed;

  private Oracle(Subject subject, long seed) {
    this.subject = subject;
    this.random = new Random(seed);
  }

  public static void main(String[] arguments) throws Exception {
    int rounds = Integer.parseInt(arguments[1]);
    long seed = Long.parseLong(arguments[2]);
    System.out.printf("%d rounds, seed %d%n", rounds, seed);
    try (Subject subject = new Subject(arguments[0])) {
      Oracle oracle = new Oracle(subject, seed);
      for (int round = 1; round <= rounds; round++) {
        oracle.round();
        if (round % 50 == 0) {
          System.out.printf("  %d rounds done, %d checks passed%n", round, oracle.passed);
        }
      }
      for (int i = 0; i < LOCKED_KEYS; i++) {
        oracle.lockedKeys();
      }
      System.out.printf("%d passed, %d failed%n", oracle.passed, oracle.failed);
      System.exit(oracle.failed == 0 ? 0 : 1);
    }
  }

  private void round() {
    Case input = new Case();
    check("their payload opens here", () -> theirsOpensHere(input));
    check("our payload opens there", () -> oursOpensThere(input));
    check("what is pushed is the same", () -> pushedAlike(input));
    check("damage is refused by both", () -> damageRefused(input));
    check("the tag's last byte is checked here only", () -> lastTagByteIsCheckedHere(input));
    check("security hashes agree", () -> securityHashes(input));
    check("their raw transaction is read and sent here", () -> theirsRaw(input));
    check("our raw transaction is read there", () -> oursRaw(input));
    check("the default key is the same", this::defaultKey);
  }

  private void theirsOpensHere(Case input) throws Exception {
    byte[] encoded = encoder.encode(input.payload);
    for (KeyPair reader : List.of(input.recipient, input.sender)) {
      List<byte[]> opened = subject.ask("open", privateBytes(reader), encoded);
      same("message", input.message, opened.get(0));
      same("hash", hash(input.payload), opened.get(1));
    }
    same("encoding", encoded, subject.askOne("recode", (Object) encoded));
  }

  private void oursOpensThere(Case input) throws Exception {
    EncodedPayload ours = sealedHere(input, List.of(), PrivacyMode.STANDARD_PRIVATE, NOTHING);
    for (KeyPair reader : List.of(input.recipient, input.sender)) {
      byte[] opened = enclave(reader).unencryptTransaction(ours, reader.getPublicKey());
      same("message", input.message, opened);
    }
  }

  private void pushedAlike(Case input) throws Exception {
    for (PrivacyMode mode : PrivacyMode.values()) {
      byte[] execHash = mode == PrivacyMode.PRIVATE_STATE_VALIDATION ? bytes(32) : NOTHING;
      EncodedPayload full = enclave(input.sender)
          .encryptPayload(input.message, input.sender.getPublicKey(), input.recipients, mode, List.of(), execHash);
      PublicKey recipient = input.recipient.getPublicKey();
      byte[] theirs = encoder.encode(encoder.forRecipient(full, recipient));
      byte[] ours = subject.askOne("recipient", encoder.encode(full), recipient.getKeyBytes());
      same(mode + " for one recipient", theirs, ours);
      same(mode + " opened", input.message, subject.askOne("open", privateBytes(input.recipient), theirs));
    }
  }

  private void damageRefused(Case input) throws Exception {
    int length = input.payload.getCipherText().length;
    int index = random.nextInt(length - 1);
    EncodedPayload payload = damaged(input, index < UNCHECKED_TAG_BYTE ? index : index + 1);
    PublicKey reader = input.recipient.getPublicKey();
    refuses("they", () -> enclave(input.recipient).unencryptTransaction(payload, reader));
    refuses("we", () -> subject.ask("open", privateBytes(input.recipient), encoder.encode(payload)));
  }

  private void lastTagByteIsCheckedHere(Case input) throws Exception {
    EncodedPayload payload = damaged(input, UNCHECKED_TAG_BYTE);
    byte[] opened = enclave(input.recipient).unencryptTransaction(payload, input.recipient.getPublicKey());
    same("message", input.message, opened);
    refuses("we", () -> subject.ask("open", privateBytes(input.recipient), encoder.encode(payload)));
  }

  private EncodedPayload damaged(Case input, int index) {
    byte[] cipherText = input.payload.getCipherText().clone();
    cipherText[index] ^= (byte) (1 << random.nextInt(8));
    return EncodedPayload.Builder.from(input.payload).withCipherText(cipherText).build();
  }

  private void securityHashes(Case input) throws Exception {
    PublicKey recipient = input.recipient.getPublicKey();
    AffectedTransaction stored = affected(input.payload);
    AffectedTransaction received = affected(encoder.forRecipient(input.payload, recipient));
    EncodedPayload theirs = enclave(input.sender).encryptPayload(
        bytes(50), input.sender.getPublicKey(), input.recipients, PrivacyMode.PARTY_PROTECTION, List.of(stored), NOTHING);
    byte[] receivedBytes = encoder.encode(received.getPayload());
    List<byte[]> invalid = subject.ask("invalid", privateBytes(input.recipient), encoder.encode(theirs), receivedBytes);
    equal("invalid in theirs", 0, invalid.size());

    EncodedPayload ours = sealedHere(
        input, List.of(encoder.encode(input.payload)), PrivacyMode.PARTY_PROTECTION, NOTHING);
    equal("affected in ours", 1, ours.getAffectedContractTransactions().size());
    Set<?> foundThere = enclave(input.recipient).findInvalidSecurityHashes(ours, List.of(received));
    equal("invalid in ours", 0, foundThere.size());

    EncodedPayload forged = EncodedPayload.Builder.from(ours).withCipherText(bytes(70)).build();
    equal("forgeries found there", 1, enclave(input.recipient).findInvalidSecurityHashes(forged, List.of(received)).size());
    equal("forgeries found here", 1,
        subject.ask("invalid", privateBytes(input.recipient), encoder.encode(forged), receivedBytes).size());
  }

  private void theirsRaw(Case input) throws Exception {
    RawTransaction raw = enclave(input.sender).encryptRawPayload(input.message, input.sender.getPublicKey());
    Object[] parts = {
      privateBytes(input.sender), raw.getEncryptedPayload(), raw.getEncryptedKey(), raw.getNonce().getNonceBytes()
    };
    same("raw message", input.message, subject.askOne("raw", parts));

    Object[] send = Arrays.copyOf(parts, parts.length + 1);
    send[parts.length] = keyBytes(input.recipients);
    byte[] sent = subject.askOne("send", send);
    same("retry", sent, subject.askOne("send", send));
    EncodedPayload payload = encoder.decode(sent);
    same("hash of the sent", MessageDigest.getInstance("SHA3-512").digest(raw.getEncryptedPayload()), hash(payload));
    byte[] opened = enclave(input.recipient).unencryptTransaction(payload, input.recipient.getPublicKey());
    same("sent message", input.message, opened);
  }

  private void oursRaw(Case input) throws Exception {
    List<byte[]> parts = subject.ask("store", privateBytes(input.sender), input.message);
    RawTransaction raw = new RawTransaction(
        parts.get(0), parts.get(1), new Nonce(parts.get(2)), input.sender.getPublicKey());
    same("raw message", input.message, enclave(input.sender).unencryptRawPayload(raw));
    EncodedPayload sent = enclave(input.sender)
        .encryptPayload(raw, input.recipients, PrivacyMode.STANDARD_PRIVATE, List.of(), NOTHING);
    same("sent there, opened here", input.message,
        subject.askOne("open", privateBytes(input.recipient), encoder.encode(sent)));
  }

  private void defaultKey() throws Exception {
    List<KeyPair> chosen = shuffled().subList(0, 1 + random.nextInt(POOL));
    PublicKey theirs = new KeyManagerImpl(chosen, List.of()).defaultPublicKey();
    List<byte[]> privates = chosen.stream().map(Oracle::privateBytes).toList();
    same(chosen.size() + " keys", theirs.getKeyBytes(), subject.askOne("default", privates));
  }

  private void lockedKeys() {
    byte[] privateKey = privateBytes(pool.get(random.nextInt(POOL)));
    String password = "pässword " + random.nextInt();
    byte[] passwordBytes = password.getBytes(StandardCharsets.UTF_8);
    KeyEncryptorImpl locks = new KeyEncryptorImpl(Argon2.create(), encryptor);
    String algorithm = List.of("i", "d", "id").get(random.nextInt(3));
    check("their locked key opens here (" + algorithm + ")", () -> {
      PrivateKeyData locked = locks.encryptPrivateKey(
          PrivateKey.from(privateKey), password.toCharArray(), new ArgonOptions(algorithm, 2, 128, 2));
      byte[] json = json(locked).getBytes(StandardCharsets.UTF_8);
      same("key", privateKey, subject.askOne("unlock", json, passwordBytes));
      refuses("we, with another password,", () -> subject.ask("unlock", json, bytes(5)));
    });
    check("our locked key opens there", () -> {
      byte[] json = subject.askOne("lock", privateKey, passwordBytes);
      PrivateKeyData locked = parse(new String(json, StandardCharsets.UTF_8));
      same("key", privateKey, locks.decryptPrivateKey(locked, password.toCharArray()).getKeyBytes());
    });
  }

  private static String json(PrivateKeyData locked) {
    ArgonOptions argon = locked.getArgonOptions();
    return ("{\"type\":\"argon2sbox\",\"data\":{\"aopts\":{\"variant\":\"%s\",\"iterations\":%d,\"memory\":%d,"
            + "\"parallelism\":%d},\"snonce\":\"%s\",\"asalt\":\"%s\",\"sbox\":\"%s\"}}")
        .formatted(argon.getAlgorithm(), argon.getIterations(), argon.getMemory(), argon.getParallelism(),
            locked.getSnonce(), locked.getAsalt(), locked.getSbox());
  }

  private static PrivateKeyData parse(String json) {
    ArgonOptions argon = new ArgonOptions(
        member(json, "variant"), Integer.valueOf(member(json, "iterations")),
        Integer.valueOf(member(json, "memory")), Integer.valueOf(member(json, "parallelism")));
    return new PrivateKeyData(null, member(json, "snonce"), member(json, "asalt"), member(json, "sbox"), argon);
  }

  /** Enough of JSON for one flat file that we wrote. */
  private static String member(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\":\"?([^\",}]+)").matcher(json);
    if (!found.find()) {
      throw new AssertionError("no member " + name + " in " + json);
    }
    return found.group(1);
  }

  /** One message with its parties, sealed by Java. */
  private final class Case {
    final KeyPair sender;
    final KeyPair recipient;
    final List<PublicKey> recipients;
    final byte[] message = bytes(random.nextInt(10) == 0 ? 20_000 : random.nextInt(300));
    final EncodedPayload payload;

    Case() {
      List<KeyPair> parties = shuffled().subList(0, 2 + random.nextInt(4));
      sender = parties.get(0);
      recipient = parties.get(1);
      List<PublicKey> keys = new ArrayList<>(parties.stream().map(KeyPair::getPublicKey).toList());
      Collections.rotate(keys, -1);
      recipients = keys;
      payload = enclave(sender).encryptPayload(
          message, sender.getPublicKey(), recipients, PrivacyMode.STANDARD_PRIVATE, List.of(), NOTHING);
    }
  }

  private EncodedPayload sealedHere(Case input, List<byte[]> affected, PrivacyMode mode, byte[] execHash)
      throws Exception {
    return encoder.decode(subject.askOne("seal", privateBytes(input.sender), keyBytes(input.recipients),
        mode.getPrivacyFlag(), execHash, affected, input.message));
  }

  private AffectedTransaction affected(EncodedPayload payload) throws Exception {
    return AffectedTransaction.Builder.create().withHash(hash(payload)).withPayload(payload).build();
  }

  private EnclaveImpl enclave(KeyPair keys) {
    return new EnclaveImpl(encryptor, new KeyManagerImpl(List.of(keys), List.of()));
  }

  private List<KeyPair> shuffled() {
    List<KeyPair> shuffled = new ArrayList<>(pool);
    Collections.shuffle(shuffled, random);
    return shuffled;
  }

  private byte[] bytes(int length) {
    byte[] bytes = new byte[length];
    random.nextBytes(bytes);
    return bytes;
  }

  private static byte[] privateBytes(KeyPair pair) {
    return pair.getPrivateKey().getKeyBytes();
  }

  private static List<byte[]> keyBytes(List<PublicKey> keys) {
    return keys.stream().map(PublicKey::getKeyBytes).toList();
  }

  private static byte[] hash(EncodedPayload payload) throws Exception {
    return MessageDigest.getInstance("SHA3-512").digest(payload.getCipherText());
  }

  private interface Check {
    void run() throws Exception;
  }

  private void check(String name, Check check) {
    try {
      check.run();
      passed++;
    } catch (Exception | AssertionError failure) {
      failed++;
      System.out.printf("FAILED %s: %s%n", name, failure);
    }
  }

  private static void refuses(String who, Check check) throws Exception {
    try {
      check.run();
    } catch (RuntimeException refused) {
      return;
    }
    throw new AssertionError(who + " accepted it");
  }

  private static void same(String what, byte[] expected, byte[] actual) {
    if (!Arrays.equals(expected, actual)) {
      throw new AssertionError(what + " differs: " + hex(expected) + " there, " + hex(actual) + " here");
    }
  }

  private static void equal(String what, int expected, int actual) {
    if (expected != actual) {
      throw new AssertionError(what + ": " + actual + " instead of " + expected);
    }
  }

  private static String hex(byte[] bytes) {
    return java.util.HexFormat.of().formatHex(bytes);
  }
}
