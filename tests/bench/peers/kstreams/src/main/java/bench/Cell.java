package bench;

/** One step of a GRU with a logistic head. */
interface Cell extends AutoCloseable {
    /**
     * Steps one event.
     *
     * @param x the encoded event
     * @param h the hidden state, replaced in place
     * @return the probability
     */
    float step(float[] x, float[] h) throws Exception;

    @Override
    default void close() throws Exception {}
}
