"""What every function stands on: events, settings, errors, Kafka, objects, embedded servers. No model, no torch."""
