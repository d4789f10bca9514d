package bench;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/** The tensors of gru.bin, little-endian, in the order in which export.py writes them. */
final class Weights {
    final int categories;
    final int embedding;
    final int inputs;
    final int hidden;
    final float[] embeddings;
    final float[] inputWeights;
    final float[] hiddenWeights;
    final float[] inputBias;
    final float[] hiddenBias;
    final float[] headWeights;
    final float headBias;

    Weights(Path path) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
        categories = bytes.getInt();
        embedding = bytes.getInt();
        inputs = bytes.getInt();
        hidden = bytes.getInt();
        FloatBuffer floats = bytes.asFloatBuffer();
        embeddings = next(floats, categories * embedding);
        inputWeights = next(floats, 3 * hidden * inputs);
        hiddenWeights = next(floats, 3 * hidden * hidden);
        inputBias = next(floats, 3 * hidden);
        hiddenBias = next(floats, 3 * hidden);
        headWeights = next(floats, hidden);
        headBias = floats.get();
    }

    private static float[] next(FloatBuffer floats, int count) {
        float[] found = new float[count];
        floats.get(found);
        return found;
    }
}
