"""Networks of the user: a checkpoint packed, an ONNX file evaluated on a device, those of the quality report.

Knows devices and kernels; no rule of the format is made here.
"""
