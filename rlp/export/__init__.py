"""Exports policies: for numpy alone, as StableHLO, as ONNX, with Hugging Face's names."""
