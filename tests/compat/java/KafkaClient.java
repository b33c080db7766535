import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache's client as a process: one command a line in, one line of JSON out (clients/remote.py tells the form). */
public final class KafkaClient {
    private static final Duration MOMENT = Duration.ofMillis(100);
    private static final long PATIENCE_MS = 20_000;

    private final String bootstrap;
    private final Map<String, Member> members = new HashMap<>();

    private KafkaClient(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    /** A command's words: names with one value each, and the records. */
    private static final class Command {
        final String verb;
        final Map<String, String> values = new HashMap<>();
        final List<String> records = new ArrayList<>();

        Command(String line) {
            String[] words = line.split("\t");
            verb = words[0];
            for (int i = 1; i < words.length; i++) {
                int at = words[i].indexOf('=');
                String name = words[i].substring(0, at);
                String value = words[i].substring(at + 1);
                if (name.equals("record")) {
                    records.add(value);
                } else {
                    values.put(name, value);
                }
            }
        }

        String get(String name) {
            return values.get(name);
        }

        int number(String name) {
            return Integer.parseInt(values.get(name));
        }
    }

    /** A consumer of a group, and what it owns just now. */
    private static final class Member implements ConsumerRebalanceListener {
        KafkaConsumer<byte[], byte[]> consumer;
        final Set<Integer> assignment = new HashSet<>();
        final List<Integer> revoked = new ArrayList<>();
        boolean commitsOnRevoke;

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(p -> assignment.add(p.partition()));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            if (commitsOnRevoke) {
                consumer.commitSync();
            }
            partitions.forEach(p -> assignment.remove(p.partition()));
            partitions.forEach(p -> revoked.add(p.partition()));
        }
    }

    public static void main(String[] arguments) throws Exception {
        KafkaClient client = new KafkaClient(arguments[0]);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String answer;
            try {
                answer = client.obey(new Command(line));
            } catch (Exception error) {
                answer = "{\"error\":" + quoted(error.toString()) + "}";
            }
            System.out.println(answer);
        }
        System.exit(0);
    }

    private String obey(Command command) throws Exception {
        switch (command.verb) {
            case "metadata": return metadata(command);
            case "create": return create(command);
            case "grow": return grow(command);
            case "delete": return delete(command);
            case "configs": return configs(command);
            case "configure": return configure(command);
            case "produce": return produce(command);
            case "consume": return consume(command);
            case "join": return join(command);
            case "poll": return poll(members.get(command.get("member")));
            case "commit": members.get(command.get("member")).consumer.commitSync(); return "{}";
            case "leave": members.remove(command.get("member")).consumer.close(); return "{}";
            default: throw new IllegalArgumentException(command.verb);
        }
    }

    private Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    private String metadata(Command command) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            List<String> brokers = new ArrayList<>();
            admin.describeCluster().nodes().get().forEach(n -> brokers.add(quoted(n.host() + ":" + n.port())));
            List<String> topics = new ArrayList<>();
            try (KafkaConsumer<byte[], byte[]> consumer = consumer(command)) { // the call that 2.8 and 4.x have in common
                consumer.listTopics().forEach((name, partitions) -> topics.add(quoted(name) + ":" + partitions.size()));
            }
            return "{\"brokers\":[" + String.join(",", brokers) + "],\"topics\":{" + String.join(",", topics) + "}}";
        }
    }

    private String create(Command command) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(command.get("topic"), command.number("partitions"), (short) 1))).all().get();
            return "{}";
        }
    }

    private String grow(Command command) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            Map<String, NewPartitions> wanted = Map.of(command.get("topic"), NewPartitions.increaseTo(command.number("partitions")));
            admin.createPartitions(wanted).all().get();
            return "{}";
        }
    }

    private String delete(Command command) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            admin.deleteTopics(List.of(command.get("topic"))).all().get();
            return "{}";
        }
    }

    private String configs(Command command) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, command.get("topic"));
        try (Admin admin = Admin.create(settings())) {
            List<String> out = new ArrayList<>();
            for (ConfigEntry entry : admin.describeConfigs(List.of(topic)).all().get().get(topic).entries()) {
                out.add(quoted(entry.name()) + ":" + (entry.value() == null ? "null" : quoted(entry.value())));
            }
            return "{\"configs\":{" + String.join(",", out) + "}}";
        }
    }

    private String configure(Command command) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, command.get("topic"));
        ConfigEntry entry = new ConfigEntry(command.get("name"), command.get("value"));
        try (Admin admin = Admin.create(settings())) {
            AlterConfigOp set = new AlterConfigOp(entry, AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(topic, List.of(set))).all().get();
            return "{}";
        }
    }

    private String produce(Command command) throws Exception {
        Properties settings = settings();
        settings.put("acks", command.get("acks"));
        settings.put("compression.type", command.get("codec"));
        settings.put("enable.idempotence", command.get("idempotent"));
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, bytes, bytes)) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (String text : command.records) {
                answers.add(producer.send(recordOf(command.get("topic"), text)));
            }
            for (Future<RecordMetadata> answer : answers) {
                answer.get();
            }
            return "{}";
        }
    }

    private static ProducerRecord<byte[], byte[]> recordOf(String topic, String text) {
        String[] parts = text.split(";", -1);
        Integer partition = parts[0].equals("-1") ? null : Integer.valueOf(parts[0]);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, unpack(parts[1]), unpack(parts[2]));
        for (String header : parts[3].isEmpty() ? new String[0] : parts[3].split(",")) {
            String[] pair = header.split(":", -1);
            record.headers().add(pair[0], unpack(pair[1]));
        }
        return record;
    }

    private KafkaConsumer<byte[], byte[]> consumer(Command command) {
        Properties settings = settings();
        if (command.get("group") != null) {
            settings.put("group.id", command.get("group"));
        }
        if (command.get("instance") != null) {
            settings.put("group.instance.id", command.get("instance"));
        }
        if (command.get("cooperative") != null) {
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        }
        settings.put("session.timeout.ms", "6000");
        settings.put("enable.auto.commit", "false");
        boolean only = command.get("start") != null && command.get("start").startsWith("only:");
        settings.put("auto.offset.reset", only ? "none" : "earliest");
        settings.put("heartbeat.interval.ms", "200");
        settings.put("fetch.max.wait.ms", "100");
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        return new KafkaConsumer<>(settings, bytes, bytes);
    }

    private String consume(Command command) {
        int count = command.number("count");
        String start = command.get("start");
        TopicPartition place = new TopicPartition(command.get("topic"), command.number("partition"));
        List<String> records = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(command)) {
            consumer.assign(List.of(place));
            if (start.equals("earliest")) {
                consumer.seekToBeginning(List.of(place));
            } else if (start.startsWith("time:")) {
                consumer.seek(place, consumer.offsetsForTimes(Map.of(place, Long.valueOf(start.substring(5)))).get(place).offset());
            } else {
                consumer.seek(place, Long.parseLong(start.startsWith("only:") ? start.substring(5) : start));
            }
            long end = System.currentTimeMillis() + PATIENCE_MS;
            while (records.size() < count) {
                if (System.currentTimeMillis() > end) {
                    throw new IllegalStateException(records.size() + " records of " + count);
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(MOMENT)) {
                    if (records.size() < count) {
                        records.add(written(record));
                    }
                }
            }
        }
        return "{\"records\":[" + String.join(",", records) + "]}";
    }

    private String join(Command command) {
        Member member = new Member();
        member.consumer = consumer(command);
        member.commitsOnRevoke = command.get("commit_on_revoke") != null;
        member.consumer.subscribe(List.of(command.get("topic")), member);
        members.put(command.get("member"), member);
        return "{}";
    }

    private static String poll(Member member) {
        List<String> records = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : member.consumer.poll(MOMENT)) {
            records.add(written(record));
        }
        String revoked = member.revoked.toString();
        member.revoked.clear();
        return "{\"records\":[" + String.join(",", records) + "],\"assignment\":" + member.assignment
            + ",\"revoked\":" + revoked + "}";
    }

    private static String written(ConsumerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add("[" + quoted(header.key()) + "," + pack(header.value()) + "]");
        }
        return "{\"partition\":" + record.partition() + ",\"offset\":" + record.offset() + ",\"timestamp\":" + record.timestamp()
            + ",\"key\":" + pack(record.key()) + ",\"value\":" + pack(record.value())
            + ",\"headers\":[" + String.join(",", headers) + "]}";
    }

    private static String pack(byte[] bytes) {
        return bytes == null ? "null" : "\"" + Base64.getEncoder().encodeToString(bytes) + "\"";
    }

    private static byte[] unpack(String text) {
        return text.equals("-") ? null : Base64.getDecoder().decode(text);
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ') {
                out.append(' ');
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}
