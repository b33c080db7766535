import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Apache's message classes, and those of records of __consumer_offsets, as a process: "encode NAME VERSION JSON", "decode NAME VERSION HEX" or "recode NAME VERSION
 * HEX" a line, and one line back. The JSON is that of Apache's own converters.
 */
public final class KafkaMessages {
    private static final String PACKAGE = "org.apache.kafka.common.message.";
    private static final String STORED = "org.apache.kafka.coordinator.group.generated.";
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private KafkaMessages() {}

    private static String bytesOf(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return HexFormat.of().formatHex(buffer.array());
    }

    private static Message messageOf(Class<?> type, String hex, short version) throws Exception {
        Message message = (Message) type.getDeclaredConstructor().newInstance();
        ByteBuffer buffer = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException("bytes are left");
        }
        return message;
    }

    private static String run(String verb, String name, short version, String rest) throws Exception {
        boolean sent = name.endsWith("Request") || name.endsWith("Response");
        String full = sent ? PACKAGE + name + "Data" : STORED + name;
        Class<?> type = Class.forName(full);
        Class<?> converter = Class.forName(full + "JsonConverter");
        if (verb.equals("encode")) {
            Object message = converter.getMethod("read", JsonNode.class, short.class)
                .invoke(null, MAPPER.readTree(rest), version);
            return bytesOf((Message) message, version);
        }
        Message message = messageOf(type, rest, version);
        if (verb.equals("recode")) {
            return bytesOf(message, version);
        }
        return converter.getMethod("write", type, short.class).invoke(null, message, version).toString();
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        java.io.PrintStream out = new java.io.PrintStream(System.out, true, "UTF-8");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ", 4);
            try {
                out.println(run(words[0], words[1], Short.parseShort(words[2]), words.length > 3 ? words[3] : ""));
            } catch (Exception e) {
                Throwable cause = e.getCause() == null ? e : e.getCause();
                out.println("error " + cause.toString().replace('\n', ' '));
            }
        }
    }
}
