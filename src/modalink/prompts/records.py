"""The prompt templates of published systems, one record each."""

from modalink.prompts.turns import TurnTemplate

_CURIOUS = (
    "A chat between a curious {who} and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the {who}'s questions."
)

RECORDS: dict[str, TurnTemplate] = {
    record.name: record
    for record in (
        # Pre-training of LLaVA: the image, then its caption. The request's wording and the system message are left out.
        # Source: repo LLaVA, llava/train/train.py, preprocess_plain.
        TurnTemplate(
            name="plain", system_form="", user="{text}", reply="", answer="{text}\n", wording=False, stops=("\n",)
        ),
        # MiniGPT-4, the first LLaVA and their kin. Source: repo LLaVA, llava/conversation.py, conv_vicuna_v0 (one
        # separator after each turn, which also opens a prompt without a system message, as in MiniGPT-4).
        TurnTemplate(
            name="vicuna-v0",
            system=_CURIOUS.format(who="human"),
            system_form="{text}###",
            system_absent="###",
            user="Human: {text}###",
            reply="Assistant:",
            answer=" {text}###",
            stops=("###",),
        ),
        # Alpaca and systems that learned on its instructions, such as M2UGen. Source: repo stanford_alpaca, train.py,
        # prompt_no_input.
        TurnTemplate(
            name="alpaca",
            system=(
                "Below is an instruction that describes a task. "
                "Write a response that appropriately completes the request."
            ),
            system_form="{text}\n\n",
            user="### Instruction:\n{text}\n\n",
            reply="### Response:",
            answer="{text}{eos}",
            after="\n\n",
        ),
        # LLaVA-1.5, Shikra, VILA. Source: repo LLaVA, llava/conversation.py, conv_vicuna_v1.
        TurnTemplate(
            name="vicuna-v1.1",
            system=_CURIOUS.format(who="user"),
            system_form="{text} ",
            user="USER: {text} ",
            reply="ASSISTANT:",
            answer=" {text}{eos}",
        ),
        # MiniGPT-v2 and other systems on LLaMA-2-chat. Source: the chat format of meta-llama/Llama-2-*-chat.
        TurnTemplate(
            name="llama-2",
            start="",
            system_form="<<SYS>>\n{text}\n<</SYS>>\n\n",
            system_inside=True,
            user="{bos}[INST] {text} [/INST]",
            reply="",
            answer=" {text} {eos}",
            alternates=True,
        ),
        # MiniGPT-v2: LLaMA-2's signs around a turn that may begin with a task's tag. Source: repo MiniGPT-4,
        # minigpt4/models/minigpt_v2.py and conversation/conversation.py, CONV_VISION_minigptv2.
        TurnTemplate(
            name="minigpt-v2",
            system_form="",
            user="[INST] {text} [/INST]",
            reply="",
            answer=" {text}{eos}",
            joint=" ",
        ),
        # X-InstructBLIP: media behind their cue words, then the instruction. Source: repo LAVIS,
        # lavis/configs/models/blip2/blip2_xinstruct_vicuna7b.yaml, prefix and postfix.
        TurnTemplate(
            name="x-instructblip",
            system_form="{text} ",
            user="USER: {text}\n",
            reply="ASSISTANT:",
            answer=" {text}{eos}",
            joint=" ",
        ),
        # Qwen-VL and other systems whose LLM speaks ChatML. No beginning-of-sequence token, as in Qwen.
        TurnTemplate(
            name="chatml",
            system="You are a helpful assistant.",
            start="",
            system_form="<|im_start|>system\n{text}<|im_end|>\n",
            user="<|im_start|>user\n{text}<|im_end|>\n",
            reply="<|im_start|>assistant\n",
            answer="{text}<|im_end|>",
            after="\n",
            stops=("<|im_end|>",),
            marks=("<|im_start|>", "<|im_end|>"),
        ),
        # BLIP-2, CogVLM: the image, then a question and its answer.
        TurnTemplate(
            name="question-answer",
            system_form="{text}\n",
            user="Question: {text} ",
            reply="Answer:",
            answer=" {text}{eos}",
            after="\n",
            media_first=True,
        ),
        # CogVLM's and BLIP-2's questions that want a word or two. Source: repo CogVLM, utils/utils/language.py.
        TurnTemplate(
            name="question-short-answer",
            system_form="{text}\n",
            user="Question: {text} ",
            reply="Short answer:",
            answer=" {text}{eos}",
            after="\n",
            media_first=True,
        ),
        # mPLUG-Owl: lines that begin with who speaks; media stand on lines of their own. Source: repo mPLUG-Owl,
        # mPLUG-Owl/README.md.
        TurnTemplate(
            name="mplug-owl",
            system="The following is a conversation between a curious human and AI assistant. "
            "The assistant gives helpful, detailed, and polite answers to the user's questions.",
            system_form="{text}\n",
            user="Human: {text}\n",
            reply="AI:",
            answer=" {text}{eos}",
            after="\n",
            joint="\nHuman: ",
        ),
        # PandaGPT. Source: repo PandaGPT, code/model/openllama.py (no system message; a turn's end opens the next).
        TurnTemplate(
            name="pandagpt",
            system_form="",
            system_absent="### ",
            user="Human: {text}\n",
            reply="### Assistant:",
            answer=" {text}\n###",
            joint=" ",
            stops=("###",),
        ),
        # IDEFICS. Source: transformers, models/idefics/processing_idefics.py (a turn's end opens the next).
        TurnTemplate(
            name="idefics",
            system_form="{text}\nUser:",
            system_absent="User:",
            user="{text}\n",
            reply="Assistant:",
            answer=" {text}\nUser:",
            joint="",
            stops=("\nUser:",),
        ),
        # OpenFlamingo's questions: a token of its own ends what is said of an image. Source: repo open_flamingo,
        # open_flamingo/eval/models/open_flamingo.py, get_vqa_prompt.
        TurnTemplate(
            name="open-flamingo",
            bos_as_tokenizer=True,
            system_form="{text}\n",
            user="Question:{text} ",
            reply="Short answer:",
            answer="{text}<|endofchunk|>",
            joint="",
            media_first=True,
            stops=("<|endofchunk|>",),
            marks=("<|endofchunk|>",),
        ),
        # ChatGLM-6B's rounds of question and answer, without their numbers; X-LLM.
        TurnTemplate(
            name="chatglm",
            system_form="{text}\n",
            user="问：{text}\n",
            reply="答：",
            answer="{text}{eos}",
            after="\n",
            joint="",
        ),
        # InstructBLIP, PaLI-X: the media, what is wanted of them, and the answer, without words of the template's own.
        # Source: repo LAVIS, lavis/models/blip2_models/blip2_vicuna_instruct.py.
        TurnTemplate(
            name="instruction",
            system_form="{text} ",
            user="{text}",
            reply="",
            answer=" {text}{eos}",
            after="\n",
            joint="",
        ),
    )
}
