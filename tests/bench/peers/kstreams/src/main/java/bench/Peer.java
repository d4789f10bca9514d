package bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * A recurrent network for each key in Kafka Streams, as a Java team would write it.
 *
 * <p>Arguments: bootstrap servers, source, output, application id, directory of gru.bin and
 * gru.onnx, onnx or java, directory of the stores, exactly_once_v2 or at_least_once.
 */
public final class Peer {
    private static final String STORE = "hidden";

    private Peer() {}

    /** Encodes an event, steps the cell, stores the hidden state and forwards the probability. */
    static final class Step implements Processor<byte[], byte[], byte[], byte[]> {
        private final ObjectMapper json = new ObjectMapper();
        private final Weights weights;
        private final Cell cell;
        private final float[] x;
        private final float[] h;
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> store;

        Step(Weights weights, Cell cell) {
            this.weights = weights;
            this.cell = cell;
            x = new float[weights.inputs];
            h = new float[weights.hidden];
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            store = given.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                JsonNode event = json.readTree(record.value());
                long at = event.get("at").longValue();
                byte[] stored = store.get(record.key());
                long before = at;
                if (stored == null) {
                    java.util.Arrays.fill(h, 0);
                } else {
                    ByteBuffer bytes = ByteBuffer.wrap(stored).order(ByteOrder.LITTLE_ENDIAN);
                    before = bytes.getLong();
                    bytes.asFloatBuffer().get(h);
                }
                encode(event, stored == null, at - before);
                float probability = cell.step(x, h);
                ByteBuffer bytes =
                        ByteBuffer.allocate(8 + 4 * h.length).order(ByteOrder.LITTLE_ENDIAN);
                bytes.putLong(Math.max(at, before));
                bytes.asFloatBuffer().put(h);
                store.put(record.key(), bytes.array());
                byte[] value = ("{\"y\": " + probability + "}").getBytes(StandardCharsets.UTF_8);
                context.forward(record.withValue(value));
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        private void encode(JsonNode event, boolean cold, long sinceMs) {
            x[0] = (float) Math.log1p(event.get("amount").doubleValue());
            x[1] = event.get("known").booleanValue() ? 1 : 0;
            x[2] = 0; // the load always has `known`
            x[3] = cold ? 0 : (float) Math.log1p(Math.max(sinceMs, 0) / 1000.0);
            x[4] = cold ? 1 : 0;
            int index =
                    switch (event.get("kind").textValue()) {
                        case "view" -> 1;
                        case "click" -> 2;
                        case "buy" -> 3;
                        default -> 0;
                    };
            System.arraycopy(
                    weights.embeddings, index * weights.embedding, x, 5, weights.embedding);
        }
    }

    /** Runs until the process is terminated. */
    public static void main(String[] arguments) throws Exception {
        Properties options = new Properties();
        options.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        options.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
        options.put(StreamsConfig.STATE_DIR_CONFIG, arguments[6]);
        options.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[7]);
        options.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        options.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        options.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        Path models = Path.of(arguments[4]);
        Weights weights = new Weights(models.resolve("gru.bin"));
        boolean byOnnx = arguments[5].equals("onnx");
        var bytes = Serdes.ByteArray();
        Topology topology = new Topology();
        topology.addSource(
                "source", bytes.deserializer(), bytes.deserializer(), arguments[1]);
        topology.addProcessor(
                "step",
                () -> {
                    try {
                        String path = models.resolve("gru.onnx").toString();
                        return new Step(
                                weights,
                                byOnnx ? new OnnxGru(path, weights) : new HandWrittenGru(weights));
                    } catch (Exception error) {
                        throw new IllegalStateException(error);
                    }
                },
                "source");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), bytes, bytes)
                        .withCachingEnabled(),
                "step");
        topology.addSink(
                "output", arguments[2], bytes.serializer(), bytes.serializer(), "step");
        KafkaStreams streams = new KafkaStreams(topology, options);
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    streams.close(java.time.Duration.ofSeconds(10));
                                    ended.countDown();
                                }));
        streams.start();
        ended.await();
    }
}
