package bench;

/**
 * A GRU in plain Java. Weights are stored by input, so that the inner loops run over adjacent
 * floats and the JIT compiles them to vector instructions.
 */
final class HandWrittenGru implements Cell {
    private final int hidden;
    private final float[][] inputWeights;
    private final float[][] hiddenWeights;
    private final float[] inputBias;
    private final float[] hiddenBias;
    private final float[] headWeights;
    private final float headBias;
    private final float[] fromInput;
    private final float[] fromHidden;

    HandWrittenGru(Weights weights) {
        hidden = weights.hidden;
        inputWeights = transposed(weights.inputWeights, weights.inputs);
        hiddenWeights = transposed(weights.hiddenWeights, hidden);
        inputBias = weights.inputBias;
        hiddenBias = weights.hiddenBias;
        headWeights = weights.headWeights;
        headBias = weights.headBias;
        fromInput = new float[3 * hidden];
        fromHidden = new float[3 * hidden];
    }

    @Override
    public float step(float[] x, float[] h) {
        sums(fromInput, inputBias, inputWeights, x);
        sums(fromHidden, hiddenBias, hiddenWeights, h);
        float y = headBias;
        for (int i = 0; i < hidden; i++) {
            float reset = logistic(fromInput[i] + fromHidden[i]);
            float update = logistic(fromInput[hidden + i] + fromHidden[hidden + i]);
            float fresh =
                    (float) Math.tanh(fromInput[2 * hidden + i] + reset * fromHidden[2 * hidden + i]);
            h[i] = (1 - update) * fresh + update * h[i];
            y += headWeights[i] * h[i];
        }
        return logistic(y);
    }

    private static void sums(float[] out, float[] bias, float[][] weights, float[] values) {
        System.arraycopy(bias, 0, out, 0, out.length);
        for (int i = 0; i < values.length; i++) {
            float value = values[i];
            float[] row = weights[i];
            for (int j = 0; j < out.length; j++) {
                out[j] += value * row[j];
            }
        }
    }

    private static float logistic(float value) {
        return (float) (1 / (1 + Math.exp(-value)));
    }

    private static float[][] transposed(float[] rowByRow, int columns) {
        int rows = rowByRow.length / columns;
        float[][] found = new float[columns][rows];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                found[column][row] = rowByRow[row * columns + column];
            }
        }
        return found;
    }
}
