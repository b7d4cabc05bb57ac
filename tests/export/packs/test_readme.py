from pathlib import Path


def test_a_readme_says_what_was_run_and_what_was_not(packs: dict[str, Path]) -> None:
    for vendor, tools in (("ascend", "`atc`, AMCT, `benchmark` and `ais_bench`"), ("vastai", "`vamc` and `vamp`")):
        text = (packs[vendor] / "README.md").read_text(encoding="utf-8")
        assert f"- Not run: {tools}" in text
        assert "- Run: the graphs were written" in text
        assert "opset 11" in text
        assert "- photos: top-1" in text
        assert "15 images = 14 seen + 1 failed" in text
        assert "14 images of photos, 14 with a true class. 1 more could not be read: ant/broken.png." in text
        assert "\n21 " in text


def test_every_command_of_a_readme_names_files_of_the_pack(packs: dict[str, Path]) -> None:
    ascend = (packs["ascend"] / "README.md").read_text(encoding="utf-8")
    assert "SOC=Ascend310P3 AIPP=1 sh compile.sh" in ascend
    assert "--model om/small_bs1.om --input inputs --output results" in ascend
    assert "for batch in 1 4 8 16 32; do" in ascend
    assert "8-bit RGB images (H, W, C)" in ascend
    assert "om/small_bs1 " in (packs["ascend"] / "compile.sh").read_text(encoding="utf-8")
    vastai = (packs["vastai"] / "README.md").read_text(encoding="utf-8")
    for name in ("build_fp16.yaml", "build_int8.yaml", "vdsp_params.json", "datalist.txt", "verify.py"):
        assert name in vastai
        assert (packs["vastai"] / name).is_file()
    assert "for kind in fp16 int8; do" in vastai
    assert "-i 1 -p 1 -b 1 -s [3,32,32]\ndone" in vastai
