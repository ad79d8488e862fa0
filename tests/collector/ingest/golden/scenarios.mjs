// Run one scenario of the Vercel AI SDK: `node scenarios.mjs FAMILY SCENARIO`. Runs in a folder with its own packages; see
// `record.py`. Major 6 tells spans itself when asked; from 7 on a package beside it does.
import { writeFileSync } from 'node:fs'
import { createOpenAI } from '@ai-sdk/openai'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import * as ai from 'ai'
import { z } from 'zod'

const [family, scenario] = process.argv.slice(2)
const QUESTION = 'What is the capital of France? Answer in one sentence.'
const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] })
provider.register()
if (family.startsWith('vercel7')) {
  const { OpenTelemetry } = await import('@ai-sdk/otel')
  ai.registerTelemetry(new OpenTelemetry())
}

const usage = []
async function listening(url, init) {
  const answer = await fetch(url, init)
  const text = await answer.clone().text()
  const lines = text.startsWith('{') ? [text] : text.split('\n').filter(line => line.startsWith('data: {')).map(line => line.slice(6))
  for (const line of lines) {
    const told = JSON.parse(line)
    const found = told.usage ?? told.response?.usage
    if (found) usage.push(found)
  }
  return answer
}
const openai = createOpenAI({ baseURL: process.env.MODEL_URL, apiKey: 'any', fetch: listening })
const common = {
  maxRetries: 0,
  experimental_telemetry: { isEnabled: true, functionId: 'golden', metadata: { userId: 'ann', sessionId: 's1' } },
}
const asked = { model: openai.chat('gpt-4o'), system: 'Be brief.', prompt: QUESTION, ...common }

const scenarios = {
  chat: () => ai.generateText({ ...asked, temperature: 0.5, maxOutputTokens: 50, seed: 3 }),
  stream: () => ai.streamText(asked).consumeStream(),
  tools: () =>
    ai.generateText({
      ...asked,
      tools: { weather: ai.tool({ description: 'The weather in a city', inputSchema: z.object({ city: z.string() }) }) },
    }),
  responses: () => ai.generateText({ ...asked, model: openai.responses('gpt-4o') }),
  embeddings: () =>
    ai.embedMany({ model: openai.embedding('text-embedding-3-small'), values: [QUESTION, 'second'], ...common }),
  failure: () => ai.generateText(asked).catch(wrong => console.log('failed as it should:', wrong.name)),
}
await scenarios[scenario]()
await provider.forceFlush()
writeFileSync(process.env.USAGE_FILE, JSON.stringify(scenario === 'failure' ? [] : usage.slice(-1)))
