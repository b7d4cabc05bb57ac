"""The source systems' own files: labels, prepared inputs and results of VastAI, Ascend and MindSpore tools."""
