package bench;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Map;

/** A GRU on one thread of ONNX Runtime, with buffers that are allocated once. */
final class OnnxGru implements Cell {
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final FloatBuffer x;
    private final FloatBuffer before;
    private final FloatBuffer after;
    private final FloatBuffer probability;
    private final Map<String, OnnxTensor> inputs;
    private final Map<String, OnnxTensor> outputs;

    OnnxGru(String path, Weights weights) throws OrtException {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        options.setIntraOpNumThreads(1);
        options.setInterOpNumThreads(1);
        session = environment.createSession(path, options);
        x = floats(weights.inputs);
        before = floats(weights.hidden);
        after = floats(weights.hidden);
        probability = floats(1);
        long[] state = {1, 1, weights.hidden};
        inputs =
                Map.of(
                        "x", OnnxTensor.createTensor(environment, x, new long[] {1, 1, weights.inputs}),
                        "before", OnnxTensor.createTensor(environment, before, state));
        outputs =
                Map.of(
                        "after", OnnxTensor.createTensor(environment, after, state),
                        "probability",
                                OnnxTensor.createTensor(environment, probability, new long[] {1, 1}));
    }

    private static FloatBuffer floats(int count) {
        return ByteBuffer.allocateDirect(4 * count).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    @Override
    public float step(float[] event, float[] h) throws OrtException {
        x.put(0, event);
        before.put(0, h);
        session.run(inputs, outputs).close();
        after.get(0, h);
        return probability.get(0);
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }
}
