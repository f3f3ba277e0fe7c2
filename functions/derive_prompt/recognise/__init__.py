"""Recognition: what words of a catalogue mean, and what a product is. Pure: no store, no Kafka, no model."""
